"""Target `tensorrt`: a plan for Triton's TensorRT backend, built where it will run.

A plan is good for one version of TensorRT and one kind of GPU, so `trtexec` builds it inside the
serving container: by `deploy/triton/entry.sh` on the first start, or by hand with this target.
TensorRT 11 is strongly typed: the precision is the ONNX file's, no option changes it.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from engine.builds.request import target_of
from engine.errors import BuildRefused, ConfigError
from engine.training.data import Bytes
from engine.training.evaluate import Predict

precisions: tuple[str, ...] = ("fp32", "fp16", "int8")

FOLDERS = "/usr/src/tensorrt/bin:/opt/tensorrt/bin"  # where containers keep it, out of PATH
TIMING_CACHE = "timing.cache"
PLAN = "model.plan"
LIMIT_S = 3600.0


class Profile(NamedTuple):
    """Numbers of pictures that one optimization profile takes, and the one that it is best at."""

    least: int
    best: int
    most: int


# One picture at once (STAT), a worker's batch (setting `max_batch`), and a full GPU.
PROFILES = (Profile(1, 1, 1), Profile(1, 8, 16), Profile(1, 64, 64))


def missing() -> str | None:
    """Say what to install; None where `trtexec` is at hand."""
    if _trtexec() is not None:
        return None
    return (
        "trtexec is not on PATH: the plan is built inside Triton's container, on the GPU that will"
        " serve it; deploy/triton starts it and builds on the first start (docs/serving.md)"
    )


def make(source: Path, precision: str, calibration: Bytes | None, out: Path) -> Path:
    """Write `model.plan` and the timing cache into `out`; return the plan.

    `source` is an ONNX file; for fp16 and int8 it is made over first, by the target `onnx`.
    Raises `ConfigError` without `trtexec`, `BuildRefused` with its last words when it fails.
    """
    trtexec = _trtexec()
    if trtexec is None:
        raise ConfigError(str(missing()))
    with tempfile.TemporaryDirectory() as folder:
        typed = typed_onnx(source, precision, calibration, Path(folder))
        side = Path(folder) / PLAN
        command = arguments(typed, side, out / TIMING_CACHE)
        try:
            done = subprocess.run(
                [trtexec, *command], capture_output=True, text=True, timeout=LIMIT_S, check=False
            )
        except subprocess.TimeoutExpired:
            raise BuildRefused(f"trtexec took longer than {LIMIT_S} s, and was ended") from None
        if done.returncode != 0 or not (side.is_file() and side.stat().st_size):
            raise BuildRefused(f"trtexec ended with {done.returncode}: {_last(done)}")
        return Path(shutil.move(side, out / PLAN))


def predictor(path: Path) -> Predict | None:
    """Return None: a plan runs behind Triton, where `scanstream model evaluate` measures it."""
    return None


def notes(path: Path) -> dict[str, Any]:
    """Return TensorRT's version and the profiles."""
    trtexec = _trtexec()
    version = "unknown"
    if trtexec is not None:
        said = subprocess.run(
            [trtexec, "--help"], capture_output=True, text=True, timeout=60, check=False
        )
        found = re.search(r"\[TensorRT v(\d+)\]", said.stdout + said.stderr)
        version = found.group(1) if found else version
    return {"tensorrt": version, "profiles": [list(profile) for profile in PROFILES]}


def arguments(onnx: Path, plan: Path, cache: Path) -> list[str]:
    """Return `trtexec`'s arguments: `deploy/triton/entry.sh` gives the same, a test compares."""
    shapes = []
    for number, profile in enumerate(PROFILES):
        shapes.append(f"--profile={number}")
        for word, count in zip(("min", "opt", "max"), profile, strict=True):
            shapes.append(f"--{word}Shapes=image:{count}x1x256x256")
    return [
        f"--onnx={onnx}",
        f"--saveEngine={plan}",
        f"--timingCacheFile={cache}",
        *shapes,
        "--skipInference",
    ]


def typed_onnx(source: Path, precision: str, calibration: Bytes | None, folder: Path) -> Path:
    """Return an ONNX file whose own types are this precision; fp32 is the source itself."""
    if precision == "fp32":
        return source
    return target_of("onnx").make(source, precision, calibration, folder)


def _trtexec() -> str | None:
    return shutil.which("trtexec") or shutil.which("trtexec", path=FOLDERS)


def _last(done: subprocess.CompletedProcess[str]) -> str:
    lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    errors = [line for line in lines if "[E]" in line]
    return (errors or lines or ["it said nothing"])[-1].strip()
