"""`python -m perf gpu`: its rows, as far as they can be run without a GPU, and its refusal."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from perf.__main__ import main
from perf.gpu import command
from perf.gpu.bench import Bench, NotMeasured, Row, Sizes, row
from tests.test_kernels.cuda_shim import host

SMALL = Sizes(
    copy_bytes=1 << 12, matrix=4, frames=1, side=32, window_frames=2, rounds=1, at_least_s=0
)


class Event:
    def record(self) -> None:
        self.at_s = time.perf_counter()

    def synchronize(self) -> None:
        """Nothing is under way."""


class Stream:
    def __init__(self, *, non_blocking: bool) -> None:
        assert non_blocking

    def __enter__(self) -> None:
        """All streams are one."""

    def __exit__(self, *_: object) -> None:
        """Nothing to restore."""


class CUDARuntimeError(RuntimeError):
    pass


@pytest.fixture
def cupy(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The library that runs kernels on the CPU, with what the benchmark asks for besides."""
    library = host.library(reverse=False)
    monkeypatch.setitem(sys.modules, "cupy", library)
    about = {"name": b"no GPU", "totalGlobalMem": 1 << 30}
    library.__dict__.update(__version__="0", matmul=lambda a, b: a @ b)
    library.cuda.runtime.__dict__.update(
        CUDARuntimeError=CUDARuntimeError,
        getDeviceCount=lambda: 1,
        getDeviceProperties=lambda _: about,
        driverGetVersion=lambda: 0,
        runtimeGetVersion=lambda: 0,
    )
    library.cuda.__dict__.update(
        Event=Event,
        Stream=Stream,
        Device=lambda: SimpleNamespace(synchronize=lambda: None),
        alloc_pinned_memory=bytearray,
        get_elapsed_time=lambda a, b: 1000 * (b.at_s - a.at_s) + 1e-3,
    )
    return library


def test_every_row_is_as_specified(cupy: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """The figures are of no use here; that the rows run, and what they compute, is."""

    def no_torch() -> Any:
        raise NotMeasured("no PyTorch")

    monkeypatch.setattr("perf.gpu.unet._torch", no_torch)
    rows, missing, failed = command.measure(Bench(cupy=cupy, sizes=SMALL))
    assert failed == {}
    assert missing == {"unet": "no PyTorch"}
    assert {row.name: row.equal for row in rows} == {
        "copy/device": None,
        "matrix/float16": None,
        "copy/host-to-device": None,
        "copy/device-to-host": None,
        "window": True,
        "clahe": True,
        "chain": True,
        "pinned-to-pictures": True,
        "pinned-to-pictures/share": None,
    }
    assert all(row.measured > 0 for row in rows)
    assert [row.name for row in rows if row.target is not None] == [
        *("window", "clahe", "pinned-to-pictures", "pinned-to-pictures/share")
    ]


@pytest.mark.parametrize(
    ("measured", "lower_is_better", "equal", "met"),
    [
        (2, False, True, True),
        (0.5, False, True, False),
        (2, True, None, False),
        (1, True, None, True),
    ],
)
def test_verdict(measured: float, lower_is_better: bool, equal: bool | None, met: bool) -> None:
    assert (
        row("r", measured, "u", target=1, lower_is_better=lower_is_better, equal=equal).met is met
    )


def test_another_result_is_no_success() -> None:
    assert row("r", 2, "u", target=1, equal=False).met is False
    assert row("r", 2, "u", equal=False).met is None


def fails(bench: Bench) -> list[Row]:
    raise ZeroDivisionError("nothing to divide by")


@pytest.mark.parametrize(
    ("found", "code"),
    [
        (row("r", 2, "u", target=1, equal=True), 0),
        (row("r", 2, "u"), 0),
        (row("r", 2, "u", target=3), 1),
        (row("r", 2, "u", equal=False), 1),
        (None, 1),
    ],
)
def test_report(
    cupy: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, found: Row | None, code: int
) -> None:
    def works(bench: Bench) -> list[Row]:
        return [found] if found else fails(bench)

    monkeypatch.setattr(command, "MEASURES", (works,))
    assert main(["gpu", "--json", str(tmp_path / "new" / "gpu.json")]) == code
    report = json.loads((tmp_path / "new" / "gpu.json").read_text())
    assert set(report) == {"machine", "commit", "command", "rows", "not_measured", "failed"}
    assert report["machine"]["gpu"] == "no GPU"
    assert [one["name"] for one in report["rows"]] == (["r"] if found else [])
    assert report["failed"] == (
        {} if found else {"works": "ZeroDivisionError: nothing to divide by"}
    )


@contextmanager
def without(what: str, cupy: ModuleType, patch: pytest.MonkeyPatch) -> Iterator[None]:
    def no_driver() -> int:
        raise CUDARuntimeError("cudaErrorNoDevice: no CUDA-capable device is detected")

    if what == "cupy":
        patch.setitem(sys.modules, "cupy", None)
    elif what == "driver":
        cupy.cuda.runtime.getDeviceCount = no_driver
    else:
        cupy.cuda.runtime.getDeviceCount = lambda: 0
    yield


@pytest.mark.parametrize("what", ["cupy", "driver", "device"])
def test_without_a_gpu_nothing_is_written(
    cupy: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    what: str,
) -> None:
    with without(what, cupy, monkeypatch):
        assert main(["gpu", "--json", str(tmp_path / "gpu.json")]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert "nothing was measured" in said.err
    assert list(tmp_path.iterdir()) == []


def test_time_is_of_one_call(cupy: ModuleType) -> None:
    """However often it is called in a round."""
    calls: list[int] = []
    bench = Bench(cupy=cupy, sizes=Sizes(rounds=3, at_least_s=0.02))
    buffer = np.zeros(1 << 16)
    seconds = bench.seconds(lambda: calls.append(buffer.sort()))  # type: ignore[func-returns-value]
    assert len(calls) > 10
    assert 0 < seconds < 0.01
