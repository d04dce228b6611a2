"""Latencies as a histogram of bounded relative error, from the intended time of each frame.

A high dynamic range (HDR) histogram: each power of two is cut into `PER_OCTAVE` steps of equal
width. Of our own: the package `hdrhistogram` (0.10.8) has no types, and wants pbr and a setuptools
newer than the project's at run time.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable

import msgspec

BITS = 9
PER_OCTAVE = 1 << BITS  # a value is off by less than 1 / 512 of itself, 0.2 %
SAMPLES_FOR_P999 = 10_000
NS = 1_000_000_000


class Histogram:
    """Counts of whole numbers from 0 on; for times these are nanoseconds."""

    def __init__(self, values: Iterable[int] = ()) -> None:
        self._counts: Counter[int] = Counter()
        self.count = 0
        self.total = 0
        self.max = 0
        for value in values:
            self.add(value)

    def add(self, value: int) -> None:
        """Count one value; what is below zero counts as zero."""
        value = max(0, value)
        self._counts[_step(value)] += 1
        self.count += 1
        self.total += value
        self.max = max(self.max, value)

    def merge(self, other: Histogram) -> None:
        """Count what the other has counted."""
        self._counts += other._counts
        self.count += other.count
        self.total += other.total
        self.max = max(self.max, other.max)

    def percentile(self, percent: float) -> int:
        """Return the least value that `percent` of all do not exceed (nearest rank).

        It is at most 1 / PER_OCTAVE too large, never too small, and never above `max`. Raises
        ValueError without values, and for percentages outside 0 to 100.
        """
        if not self.count or not 0 <= percent <= 100:
            raise ValueError(f"percentile {percent} of {self.count} values")
        # 99.9 % of 10,000 is 9990.000000000002 in floating point, and not the 9,991st
        rank = max(1, math.ceil(round(percent / 100 * self.count, 6)))
        for step in sorted(self._counts):
            rank -= self._counts[step]
            if rank <= 0:
                return min(_highest(step), self.max)
        raise AssertionError("the counts do not add up")


class Summary(msgspec.Struct, frozen=True, rename={"p99_9": "p99.9"}):
    """Milliseconds. `p99_9` is None below 10,000 samples: nine values claim nothing."""

    count: int
    mean: float
    p50: float
    p90: float
    p99: float
    p99_9: float | None
    max: float

    @classmethod
    def of(cls, histogram: Histogram) -> Summary:
        """Sum up a histogram of nanoseconds; without samples every figure is NaN."""
        if not histogram.count:
            nan = math.nan
            return cls(0, nan, nan, nan, nan, None, nan)
        p50, p90, p99, p99_9 = (histogram.percentile(p) / 1e6 for p in (50, 90, 99, 99.9))
        return cls(
            count=histogram.count,
            mean=histogram.total / histogram.count / 1e6,
            p50=p50,
            p90=p90,
            p99=p99,
            p99_9=p99_9 if histogram.count >= SAMPLES_FOR_P999 else None,
            max=histogram.max / 1e6,
        )


def nanoseconds(seconds: float) -> int:
    """Return a time in what histograms count."""
    return round(seconds * NS)


def _step(value: int) -> int:
    """Return the number of the step that a value is in; below 2 x PER_OCTAVE, the value itself."""
    shift = max(0, value.bit_length() - BITS - 1)
    return (shift << BITS) + (value >> shift)


def _highest(step: int) -> int:
    """Return the highest value of a step."""
    shift = max(0, (step >> BITS) - 1)
    return ((step - (shift << BITS) + 1) << shift) - 1
