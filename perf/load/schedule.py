"""When frames are due: endless, seeded iterators of seconds from the start of the run.

They never look at what the answers do. A generator that waits for answers measures the system at
the moments in which it happens to be well (coordinated omission).
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterator, Sequence
from itertools import count, takewhile
from pathlib import Path


def constant(rate_hz: float) -> Iterator[float]:
    """Yield due times `1 / rate_hz` apart, the first at 0."""
    _check(rate_hz)
    return (number / rate_hz for number in count())


def poisson(rate_hz: float, seed: int) -> Iterator[float]:
    """Yield the due times of independent arrivals, `rate_hz` of them a second on average."""
    _check(rate_hz)
    return _poisson(random.Random(seed), rate_hz)


def burst(rate_hz: float, seed: int, *, size: int) -> Iterator[float]:
    """Yield `size` arrivals at once, at Poisson times; `rate_hz` frames a second on average.

    A scanner that has finished a series sends all of it.
    """
    _check(rate_hz)
    if size < 1:
        raise ValueError(f"a burst has at least one frame, got `size` {size}")
    starts = _poisson(random.Random(seed), rate_hz / size)
    return (start for start in starts for _ in range(size))


def trace(path: Path) -> Iterator[float]:
    """Yield the due times that a file holds: one number of seconds a line, ascending.

    Empty lines and lines that begin with # are skipped; the first time is the start of the run.
    Raises ValueError naming the line that is not a number, or goes back.
    """
    first, last = None, 0.0
    for number, line in enumerate(path.read_text().splitlines(), 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        try:
            at = float(text)
        except ValueError:
            raise ValueError(f"{path}, line {number}: {text!r} is not a number") from None
        first = at if first is None else first
        if not at - first >= last:  # also refuses NaN
            raise ValueError(f"{path}, line {number}: {text} is before the line above")
        last = at - first
        yield last


def clocks(rates_hz: Sequence[float], seed: int) -> Iterator[tuple[float, int]]:
    """Yield the ticks of clocks of these rates, in the order of time: when, and of which clock.

    Each clock begins at a moment of its first period that is drawn at random. Scanners that were
    switched on at one moment would send at one moment for ever.
    """
    for rate_hz in rates_hz:
        _check(rate_hz)
    rng = random.Random(seed)
    return heapq.merge(
        *(_ticks(number, rate_hz, rng.random()) for number, rate_hz in enumerate(rates_hz))
    )


def until(schedule: Iterator[float], seconds: float) -> Iterator[float]:
    """Yield the due times before `seconds`."""
    return takewhile(lambda due_s: due_s < seconds, schedule)


def _poisson(rng: random.Random, rate_hz: float) -> Iterator[float]:
    due_s = 0.0
    while True:
        due_s += rng.expovariate(rate_hz)
        yield due_s


def _ticks(clock: int, rate_hz: float, phase: float) -> Iterator[tuple[float, int]]:
    return (((number + phase) / rate_hz, clock) for number in count())


def _check(rate_hz: float) -> None:
    if not rate_hz > 0:
        raise ValueError(f"`rate_hz` must be above 0, got {rate_hz}")
