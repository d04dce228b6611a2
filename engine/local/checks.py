"""What `scanstream doctor` looks at: each check says what was found, and what to do about it."""

from __future__ import annotations

import ctypes
import hashlib
import importlib.metadata
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import msgspec

from engine.config import Settings
from engine.errors import LocalStackError
from engine.local import guard
from engine.local.broker import find_tansu
from engine.local.processes import reserve_port
from engine.local.stack import MODELS
from engine.local.triton import find_wheel

MIB = 1024 * 1024
DISK_NEEDED = 1024 * MIB
SHARED_MEMORY_NEEDED = 48 * MIB  # the stubs' regions and the workers' slots, with some air
RUN_LIMIT_S = 20.0

State = Literal["ok", "missing", "absent"]


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One line. `missing` stops the embedded stack; `absent` is something it does without."""

    name: str
    state: State
    found: str
    cure: str = ""


def run_checks(settings: Settings) -> Iterator[Check]:
    """Yield all checks, in the order in which a user would cure them."""
    yield _python()
    yield from _packages()
    yield _tool("broker", lambda: [str(find_tansu()), "--help"])
    yield _tool("triton", _triton_command)
    yield _model()
    yield _processor()
    yield _precision(settings)
    yield _dali(settings)
    yield _gpu()
    yield _shared_memory()
    yield _disk(settings)
    yield from _ports(settings)
    yield _program("java", "only for Apache Kafka itself: install a JRE, 17 or later")
    yield _program("mvn", "only to fetch Apache Kafka itself: install Maven")


def _python() -> Check:
    found = f"{platform.python_implementation()} {platform.python_version()} {sys.executable}"
    good = sys.version_info[:2] == (3, 11)
    cure = "" if good else "the locked packages are for 3.11: make setup PYTHON=python3.11"
    return Check(name="python", state="ok" if good else "missing", found=found, cure=cure)


def _packages() -> Iterator[Check]:
    """Yield one check for all packages that the distribution requires, and one for each missing."""
    versions: dict[str, str] = {}
    for name in _required():
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            yield Check(name=name, state="missing", found="no package", cure="run `make setup`")
    listed = ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))
    yield Check(name="packages", state="ok", found=listed)


def _required() -> list[str]:
    """Return what the distribution requires, else what the checkout's pyproject.toml says."""
    try:
        lines = importlib.metadata.requires("scanstream") or []
    except importlib.metadata.PackageNotFoundError:
        project = tomllib.loads((MODELS.parents[1] / "pyproject.toml").read_text())
        lines = project["project"]["dependencies"]
    wanted = [line for line in lines if "extra ==" not in line]
    return [re.split(r"[^\w.-]", line, maxsplit=1)[0] for line in wanted]


def _tool(name: str, command: Callable[[], list[str]]) -> Check:
    """Run an embedded server for its help text: that loads all of its libraries."""
    try:
        words = command()
        done = subprocess.run(words, capture_output=True, timeout=RUN_LIMIT_S, check=False)
    except LocalStackError as error:
        return Check(name=name, state="missing", found="not usable", cure=str(error))
    except (OSError, subprocess.TimeoutExpired) as error:
        return Check(name=name, state="missing", found=words[-2], cure=f"it does not run: {error}")
    said = (done.stdout + done.stderr).decode(errors="replace")
    if "usage" in said.lower():  # not by the exit code: tritonserver --help ends with 1
        return Check(name=name, state="ok", found=words[-2])
    why = said.strip().splitlines()[-1:] or ["no output"]
    cure = f"it ends with {done.returncode}: {why[0]}; run `make setup`"
    return Check(name=name, state="missing", found=words[-2], cure=cure)


def _triton_command() -> list[str]:
    wheel = find_wheel()
    libraries = f"{wheel.libraries}{os.pathsep}{wheel.libpython.parent}"
    return ["/usr/bin/env", f"LD_LIBRARY_PATH={libraries}", str(wheel.server), "--help"]


def _model() -> Check:
    files = sorted(MODELS.glob("*/*/model.onnx"))
    if not files:
        cure = "it is part of the checkout: git checkout triton_models"
        return Check(name="model", state="missing", found=f"no model.onnx in {MODELS}", cure=cure)
    listed = [
        f"{file.parts[-3]} version {file.parts[-2]}, sha256 "
        f"{hashlib.sha256(file.read_bytes()).hexdigest()}"
        for file in files
    ]
    return Check(name="model", state="ok", found="; ".join(listed))


def _processor() -> Check:
    text = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    line = re.search(r"^flags\s*:(.*)$", text, re.MULTILINE)
    flags = set(line[1].split()) if line else set()
    wanted = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
    listed = ", ".join(f"{name} {'yes' if name in flags else 'no'}" for name in wanted)
    good = platform.machine() == "x86_64"
    cure = "" if good else "the embedded Triton is built for x86-64 only: use Triton's container"
    found = f"{os.cpu_count()} CPUs, {platform.machine()}: {listed}"
    return Check(name="processor", state="ok" if good else "missing", found=found, cure=cure)


def _precision(settings: Settings) -> Check:
    if importlib.util.find_spec("openvino") is None:
        return Check(
            name="precision", state="missing", found="no OpenVINO", cure="run `make setup`"
        )
    import openvino

    able = "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    chosen = ("bf16" if able else "fp32") if settings.precision == "auto" else settings.precision
    found = f"setting `precision` is {settings.precision}: OpenVINO computes in {chosen}"
    return Check(name="precision", state="ok", found=found)


def _dali(settings: Settings) -> Check:
    chosen = f"setting `preprocess` is {settings.preprocess}"
    try:
        version = importlib.metadata.version("nvidia-dali-cuda120")
    except importlib.metadata.PackageNotFoundError:
        state: State = "missing" if settings.preprocess == "dali" else "absent"
        cure = "needed for `preprocess` = dali only: pip install nvidia-dali-cuda120"
        return Check(name="dali", state=state, found=f"{chosen}; no DALI", cure=cure)
    return Check(name="dali", state="ok", found=f"{chosen}; DALI {version}")


def _gpu() -> Check:
    """Ask the CUDA driver itself; nvidia-smi may be absent where the driver is not."""
    count = ctypes.c_int(0)
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
        usable = cuda.cuInit(0) == 0 and cuda.cuDeviceGetCount(ctypes.byref(count)) == 0
    except OSError:
        usable = False
    if usable and count.value:
        return Check(name="gpu", state="ok", found=f"{count.value} CUDA device(s)")
    cure = "none needed: everything runs on the CPU"
    return Check(name="gpu", state="absent", found="no CUDA driver or device", cure=cure)


def _shared_memory() -> Check:
    folder = guard.SHARED_MEMORY
    free = shutil.disk_usage(folder).free if folder.exists() else 0
    good = free >= SHARED_MEMORY_NEEDED
    cure = (
        "" if good else f"{SHARED_MEMORY_NEEDED // MIB} MiB are needed: docker run --shm-size=256m"
    )
    found = f"{folder}: {free // MIB} MiB free"
    return Check(name="shared memory", state="ok" if good else "missing", found=found, cure=cure)


def _disk(settings: Settings) -> Check:
    folder = settings.store.absolute()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    good = free >= DISK_NEEDED and os.access(folder, os.W_OK)
    cure = "" if good else "the object store needs a writable GiB: set SCANSTREAM_STORE"
    found = f"{folder}: {free // MIB} MiB free for the object store"
    return Check(name="disk", state="ok" if good else "missing", found=found, cure=cure)


def _ports(settings: Settings) -> Iterator[Check]:
    """Yield a check for each port that `scanstream up` takes; the demo takes any free ones."""
    wanted = {"broker": settings.broker, "triton": settings.triton, "port": str(settings.port)}
    for setting, address in wanted.items():
        name = f"port {address.rpartition(':')[2]}"
        try:
            reserve_port(setting, int(address.rpartition(":")[2])).close()
        except (LocalStackError, ValueError):
            cure = f"`scanstream up` runs already, or set SCANSTREAM_{setting.upper()}"
            yield Check(name=name, state="absent", found=f"taken (`{setting}`)", cure=cure)
        else:
            yield Check(name=name, state="ok", found=f"free (`{setting}`)")


def _program(name: str, cure: str) -> Check:
    path = shutil.which(name)
    if path is None:
        return Check(name=name, state="absent", found="not on PATH", cure=cure)
    return Check(name=name, state="ok", found=path)
