"""The embedded Triton: the real server out of nvidia-pytriton's wheel, without pytriton.

The wheel (0.7.0, Triton 2.51) carries `tritonserver`, the libraries it was built with, the Python
backend and one stub executable for each Python version. It is an old build without an accelerator's
backends: loopback and development only; production is NVIDIA's container.
"""

from __future__ import annotations

import http.client
import importlib.util
import os
import secrets
import shutil
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from engine.config import Settings
from engine.errors import LocalStackError
from engine.local import guard
from engine.local.processes import HOST, Child, Server, accepts

PACKAGE = "nvidia-pytriton"
PREFIX = "scanstream_stub_"
VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
# Our own backends, in Python: each serves every model whose config.pbtxt names it.
BACKENDS = Path(__file__).resolve().parents[2] / "triton_models" / "backends"


class Triton(Server):
    """`with Triton(folder, repository, settings) as triton: triton.address` (gRPC).

    Every model of `repository` is loaded at the start and must load. After that models are loaded
    and unloaded by request only (`--model-control-mode=explicit`). Settings go to the models by
    environment.
    """

    name = "triton"
    deadline_s = 120.0  # a cold cache of a large model on two busy cores

    def __init__(
        self,
        folder: Path,
        repository: Path,
        settings: Settings,
        *,
        port: int | None = None,
    ) -> None:
        super().__init__(folder, [port, None])
        self.repository = repository
        self.settings = settings
        self.metrics_port = 0  # of its own metrics (`nv_inference_*`); 0: off

    @property
    def address(self) -> str:
        """`host:port` of gRPC."""
        return f"{HOST}:{self.ports[0]}"

    @property
    def http_address(self) -> str:
        """`host:port` of HTTP, for health checks and people."""
        return f"{HOST}:{self.ports[1]}"

    def _make_child(self) -> Child:
        if not any(self.repository.glob("*/config.pbtxt")):
            raise LocalStackError(f"triton: no model (NAME/config.pbtxt) in {self.repository}")
        wheel = find_wheel()
        prefix = _region_prefix()
        argv = [
            str(wheel.server),
            f"--model-repository={self.repository.resolve()}",
            "--model-control-mode=explicit",
            "--load-model=*",
            "--strict-readiness=true",
            "--exit-timeout-secs=2",
            f"--backend-directory={_assemble_backends(self.folder, wheel)}",
            f"--backend-config=python,shm-region-prefix-name={prefix}",
            f"--grpc-address={HOST}",
            f"--grpc-port={self.ports[0]}",
            f"--http-address={HOST}",
            f"--http-port={self.ports[1]}",
            *self._metrics(),
        ]
        return Child(
            self.name,
            argv,
            log=self.folder / "triton.log",
            env=_environment(wheel, self.settings),
            grace_s=3.0,
            sweep=prefix,
        )

    def _metrics(self) -> list[str]:
        if not self.metrics_port:
            return ["--allow-metrics=false"]
        where = [f"--metrics-address={HOST}", f"--metrics-port={self.metrics_port}"]
        return ["--allow-gpu-metrics=false", "--allow-cpu-metrics=false", *where]

    def _is_ready(self) -> bool:
        # Strict readiness answers 200 only when every model is loaded, and the server opens HTTP
        # after gRPC. This needs no gRPC client, whose threads do not survive a fork.
        connection = http.client.HTTPConnection(self.http_address, timeout=2.0)
        try:
            connection.request("GET", "/v2/health/ready")
            return connection.getresponse().status == 200 and accepts(self.ports[0])
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


@dataclass(frozen=True)
class Wheel:
    """Where the parts lie."""

    server: Path
    backend: Path
    stub: Path
    libraries: Path
    libpython: Path


def find_wheel() -> Wheel:
    """Return the parts of the embedded Triton; raise `LocalStackError` for a missing one."""
    spec = importlib.util.find_spec("pytriton")
    if spec is None or spec.origin is None:
        raise LocalStackError(f"triton: pip package {PACKAGE} is not installed: run `make setup`")
    package = Path(spec.origin).parent
    root = package / "tritonserver"
    wheel = Wheel(
        server=root / "bin" / "tritonserver",
        backend=root / "backends" / "python",
        stub=root / "python_backend_stubs" / VERSION / "triton_python_backend_stub",
        libraries=package.parent / "nvidia_pytriton.libs",
        libpython=find_libpython(),
    )
    for part in (wheel.server, wheel.backend, wheel.stub, wheel.libraries):
        if not part.exists():
            raise LocalStackError(f"triton: {part} is missing: install {PACKAGE}==0.7.0 again")
    return wheel


def find_libpython() -> Path:
    """Return this Python's shared library, which the stub is linked to."""
    name = f"libpython{VERSION}.so.1.0"
    libdir = sysconfig.get_config_var("LIBDIR") or "/usr/lib"
    multiarch = sysconfig.get_config_var("MULTIARCH") or "x86_64-linux-gnu"
    folders = [Path(libdir), Path(sys.base_prefix) / "lib", Path(libdir) / multiarch]
    folders += [Path("/usr/lib") / multiarch, Path("/usr/lib64"), Path("/usr/local/lib")]
    for folder in folders:
        if (folder / name).exists():
            return folder / name
    raise LocalStackError(
        f"triton: {name} is not on this machine: apt-get install libpython{VERSION} "
        "(or your system's package of that library)"
    )


def _assemble_backends(folder: Path, wheel: Wheel) -> Path:
    """Put the Python backend's parts and our own backends into one folder, as Triton wants them."""
    backends = (folder / "backends").resolve()
    python = backends / "python"
    python.mkdir(parents=True, exist_ok=True)
    for part in (*wheel.backend.glob("*.*"), wheel.stub):
        there = python / part.name
        there.unlink(missing_ok=True)
        if part.suffix == ".so":  # a link out of its folder is refused for Python-based backends
            shutil.copy2(part, there)
        else:
            there.symlink_to(part)
    for ours in BACKENDS.iterdir():
        link = backends / ours.name
        link.unlink(missing_ok=True)
        link.symlink_to(ours)
    return backends


def _environment(wheel: Wheel, settings: Settings) -> dict[str, str]:
    libraries = [str(wheel.libraries), str(wheel.libpython.parent)]
    # The stub finds its packages through the first `python3` on PATH: ours.
    path = [str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]
    return {
        **os.environ,
        # what the model reads, and no more: other settings may hold a password
        "SCANSTREAM_MODEL_THREADS": str(settings.model_threads),
        "SCANSTREAM_PRECISION": settings.precision,
        "LD_LIBRARY_PATH": os.pathsep.join(libraries),
        "PATH": os.pathsep.join(path),
    }


def _region_prefix() -> str:
    """Return a fresh prefix for the stubs' shared memory, after removing dead parents' regions."""
    for region in guard.SHARED_MEMORY.glob(f"{PREFIX}*"):
        owner = region.name.removeprefix(PREFIX).partition("_")[0]
        if owner.isdigit() and not Path(f"/proc/{owner}").exists():
            region.unlink(missing_ok=True)
    return f"{PREFIX}{os.getpid()}_{secrets.token_hex(4)}_"
