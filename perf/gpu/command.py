"""The command `python -m perf gpu`."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import msgspec

from perf.compare.machine import commit, machine
from perf.gpu.bench import Bench, NotMeasured, Row, Sizes
from perf.gpu.kernels import chain, clahe, window
from perf.gpu.limits import copy, host_copies, matrix_peak
from perf.gpu.stream import pinned_to_pictures
from perf.gpu.unet import unet

# The limits of the GPU come first: other targets are shares of them.
MEASURES: tuple[Callable[[Bench], list[Row]], ...] = (
    copy,
    matrix_peak,
    host_copies,
    window,
    clahe,
    chain,
    pinned_to_pictures,
    unet,
)

DESCRIPTION = """Measure the CUDA kernels on this machine's GPU. Exit code 1 when a target is
missed, a result is not that of the specification, or there is no GPU: then nothing is written."""


class NoGpu(Exception):
    """There is no GPU to measure; the text says why."""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `gpu` to the commands of `python -m perf`."""
    text = "the CUDA kernels, against what the GPU can do"
    parser = commands.add_parser("gpu", help=text, description=DESCRIPTION)
    parser.add_argument("--json", metavar="FILE", help="write the report there; - is stdout")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure all rows; return the exit code."""
    try:
        cupy = find_gpu()
    except NoGpu as error:
        print(f"perf gpu: {error}; nothing was measured", file=sys.stderr)
        return 1
    about, revision = {**machine(), **gpu(cupy)}, commit()
    rows, missing, failed = measure(Bench(cupy=cupy, sizes=Sizes()))
    report = {
        "machine": about,
        "commit": revision,
        "command": "python -m perf gpu",
        "rows": rows,
        "not_measured": missing,
        "failed": failed,
    }
    text = msgspec.json.format(msgspec.json.encode(report), indent=2).decode() + "\n"
    if args.json == "-":
        print(text, end="")
    elif args.json:
        Path(args.json).parent.mkdir(parents=True, exist_ok=True)
        Path(args.json).write_text(text)
    return 1 if failed or any(row.met is False or row.equal is False for row in rows) else 0


def measure(bench: Bench) -> tuple[list[Row], dict[str, str], dict[str, str]]:
    """Return the rows; by name, what could not be measured and why; and what failed, and how."""
    rows: list[Row] = []
    missing: dict[str, str] = {}
    failed: dict[str, str] = {}
    for work in MEASURES:
        name = work.__name__
        try:
            found = work(bench)
        except NotMeasured as error:
            missing[name] = str(error)
            _tell(f"{name}: not measured: {error}")
        except Exception as error:  # one row's failure does not cost the others, which are dear
            failed[name] = f"{type(error).__name__}: {error}"
            _tell(f"{name}: failed: {failed[name]}")
        else:
            rows += found
            for row in found:
                _tell(_line(row))
    return rows, missing, failed


def _line(row: Row) -> str:
    verdict = (
        "" if row.met is None else f", target {row.target:.4g}: {'met' if row.met else 'MISSED'}"
    )
    differs = "; the results DIFFER" if row.equal is False else ""
    return f"{row.name}: {row.measured:.4g} {row.unit}{verdict}{differs} ({row.note})"


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def find_gpu() -> ModuleType:
    """Return CuPy, with a GPU that it can use; raise `NoGpu`."""
    try:
        cupy = importlib.import_module("cupy")
    except ImportError as error:
        raise NoGpu("CuPy is not installed (pip install 'scanstream[gpu]')") from error
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise NoGpu(f"no CUDA GPU was found: {error}") from error
    if not count:
        raise NoGpu("no CUDA GPU was found")
    return cupy


def gpu(cupy: ModuleType) -> dict[str, object]:
    """Return what the GPU is, and the software that drives it."""
    about = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.runtime.getDevice())
    return {
        "gpu": about["name"].decode(),
        "gpu_memory_gib": round(about["totalGlobalMem"] / 2**30, 1),
        "cuda_driver": cupy.cuda.runtime.driverGetVersion(),
        "cuda_runtime": cupy.cuda.runtime.runtimeGetVersion(),
        "cupy": cupy.__version__,
    }
