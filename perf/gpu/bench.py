"""What a row is, how long a piece of work takes on the GPU, and the frames it works on."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import msgspec
import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One figure. `target` and `met` are None where there is none to reach.

    `equal`: whether the result was that of the specification, by the check in `note`; None where
    nothing is computed. `met` asks for it.
    """

    name: str
    measured: float
    unit: str
    target: float | None
    met: bool | None
    equal: bool | None
    note: str


def row(
    name: str,
    measured: float,
    unit: str,
    *,
    target: float | None = None,
    lower_is_better: bool = False,
    equal: bool | None = None,
    note: str = "",
) -> Row:
    """Return the figure with its verdict."""
    met = None
    if target is not None:
        reached = measured <= target if lower_is_better else measured >= target
        met = reached and equal is not False
    return Row(
        name=name, measured=measured, unit=unit, target=target, met=met, equal=equal, note=note
    )


class NotMeasured(Exception):
    """Something that a row needs is not installed; the text says what."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How large the work is. The defaults are what the targets are about."""

    copy_bytes: int = 1 << 30
    matrix: int = 8192
    frames: int = 64
    side: int = 512
    window_frames: int = 512  # in and out far larger than the second-level cache
    rounds: int = 15
    at_least_s: float = 0.1  # how long a round takes


@dataclass(slots=True, kw_only=True)
class Bench:
    """The GPU, by its library, and what was measured of it so far."""

    cupy: ModuleType
    sizes: Sizes
    copy_gb_s: float = math.nan

    def seconds(self, work: Callable[[], object]) -> float:
        """Return the seconds of one `work()` on the current stream, by the GPU's clock.

        The median over the rounds; in each it is queued again and again, without waiting.
        """
        return self._median(work, self._by_events)

    def wall_seconds(self, work: Callable[[], object]) -> float:
        """Return the seconds of one `work()` on whatever streams, by the host's clock.

        As `seconds`; a round ends when the device has done all of it.
        """
        return self._median(work, self._by_clock)

    def _median(
        self, work: Callable[[], object], take: Callable[[Callable[[], object], int], float]
    ) -> float:
        take(work, 3)  # compile, fill the pools of memory
        count = max(1, math.ceil(self.sizes.at_least_s / max(take(work, 1), 1e-6)))
        return statistics.median(take(work, count) / count for _ in range(self.sizes.rounds))

    def _by_events(self, work: Callable[[], object], count: int) -> float:
        begin, end = self.cupy.cuda.Event(), self.cupy.cuda.Event()
        begin.record()
        for _ in range(count):
            work()
        end.record()
        end.synchronize()
        return float(self.cupy.cuda.get_elapsed_time(begin, end)) / 1000

    def _by_clock(self, work: Callable[[], object], count: int) -> float:
        begin = time.perf_counter()
        for _ in range(count):
            work()
        self.cupy.cuda.Device().synchronize()
        return time.perf_counter() - begin

    def pinned(self, shape: tuple[int, ...], dtype: Any) -> Array:
        """Return an array in page-locked host memory, which the GPU copies by itself."""
        count = int(np.prod(shape))
        memory = self.cupy.cuda.alloc_pinned_memory(count * np.dtype(dtype).itemsize)
        return np.frombuffer(memory, dtype, count).reshape(shape)


def pictures(frames: int, side: int, top: int = 4095) -> Array:
    """Return uint16 (frames, side, side), smooth with noise, values in [0, top]; always the same.

    Eight different ones, repeated.
    """
    rng = np.random.default_rng(1)
    y, x = np.indices((side, side)) * (512 / side)
    distinct = []
    for number in range(min(frames, 8)):
        waves = np.sin(y / 37 + number) * np.cos(x / 53) + 0.3 * np.sin((x + y) / 11)
        noisy = waves + rng.normal(0, 0.05, waves.shape)
        distinct.append((noisy - noisy.min()) / np.ptp(noisy) * top)
    return np.stack([distinct[i % len(distinct)] for i in range(frames)]).astype(np.uint16)
