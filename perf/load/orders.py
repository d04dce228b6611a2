"""What a generator can be told to do: arrivals of every kind, and how each frame is picked.

All but `Backlog` are open loops; their arrivals are endless, seeded and cut off after `seconds`.
`budget_ms` is a frame's deadline after its due time. The run then waits at most `drain_s` for the
last answers; `keep` returns them, and `most_under_way` ends it where so many frames have none.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path
from typing import NamedTuple, TypeAlias

from engine.messages import Lane
from perf.load import schedule
from perf.load.frames import Pick


class Due(NamedTuple):
    """A frame to come, `at_s` after the start of the run."""

    at_s: float
    pick: Pick


class Poisson(NamedTuple):
    """Independent arrivals, `rate_hz` of them a second on average.

    `kind` is of the samples, "" for all of them in turn; so below.
    """

    rate_hz: float
    seconds: float
    seed: int
    budget_ms: float
    drain_s: float = 10.0
    keep: bool = False
    most_under_way: int | None = None
    lane: Lane = "bulk"
    kind: str = ""

    def due(self) -> Iterator[Due]:
        """Yield the arrivals."""
        return _cut(schedule.poisson(self.rate_hz, self.seed), self)


class Constant(NamedTuple):
    """Arrivals `1 / rate_hz` apart."""

    rate_hz: float
    seconds: float
    budget_ms: float
    drain_s: float = 10.0
    keep: bool = False
    most_under_way: int | None = None
    lane: Lane = "bulk"
    kind: str = ""

    def due(self) -> Iterator[Due]:
        """Yield the arrivals."""
        return _cut(schedule.constant(self.rate_hz), self)


class Burst(NamedTuple):
    """`size` frames at once, at Poisson times: `rate_hz` frames a second on average."""

    rate_hz: float
    seconds: float
    seed: int
    size: int
    budget_ms: float
    drain_s: float = 10.0
    keep: bool = False
    most_under_way: int | None = None
    lane: Lane = "bulk"
    kind: str = ""

    def due(self) -> Iterator[Due]:
        """Yield the arrivals."""
        return _cut(schedule.burst(self.rate_hz, self.seed, size=self.size), self)


class Trace(NamedTuple):
    """Arrivals as `path` recorded them: seconds, one a line."""

    path: Path
    seconds: float
    budget_ms: float
    drain_s: float = 10.0
    keep: bool = False
    most_under_way: int | None = None
    lane: Lane = "bulk"
    kind: str = ""

    def due(self) -> Iterator[Due]:
        """Yield the arrivals."""
        return _cut(schedule.trace(self.path), self)


class Scanner(NamedTuple):
    """`scanners` alike: each sends a frame every `1 / rate_hz` seconds, in its own series.

    `budget_ms` of None is that of the order.
    """

    rate_hz: float
    kind: str = ""
    scanners: int = 1
    lane: Lane = "bulk"
    budget_ms: float | None = None


class Clocks(NamedTuple):
    """Scanners of several kinds, each with a frame clock, a phase and a series of its own."""

    scanners: tuple[Scanner, ...]
    seconds: float
    seed: int
    budget_ms: float
    drain_s: float = 10.0
    keep: bool = False
    most_under_way: int | None = None

    def due(self) -> Iterator[Due]:
        """Yield the arrivals of all scanners in the order of time."""
        each = [one for one in self.scanners for _ in range(one.scanners)]
        picks = [Pick(one.kind, one.lane, number, one.budget_ms) for number, one in enumerate(each)]
        for at_s, number in schedule.clocks([one.rate_hz for one in each], self.seed):
            if at_s >= self.seconds:
                return
            yield Due(at_s, picks[number])


class Together(NamedTuple):
    """Several open loops at once, such as a STAT lane beside a bulk one; each keeps its budget."""

    orders: tuple[Poisson | Constant | Burst | Trace | Clocks, ...]
    drain_s: float = 10.0
    keep: bool = False
    most_under_way: int | None = None

    @property
    def seconds(self) -> float:
        """Until the last of them ends."""
        return max(one.seconds for one in self.orders)

    @property
    def budget_ms(self) -> float:
        """Of a frame whose order has none, which cannot be."""
        return max(one.budget_ms for one in self.orders)

    def due(self) -> Iterator[Due]:
        """Yield the arrivals of all of them in the order of time."""
        return heapq.merge(*(_with_budget(one) for one in self.orders), key=lambda due: due.at_s)


class Backlog(NamedTuple):
    """A closed loop of `outstanding` frames: as fast as the target can."""

    outstanding: int
    seconds: float
    warm_s: float
    budget_ms: float
    drain_s: float = 30.0
    keep: bool = False
    lane: Lane = "bulk"
    kind: str = ""


OpenLoop: TypeAlias = Poisson | Constant | Burst | Trace | Clocks | Together
Order: TypeAlias = OpenLoop | Backlog


def _cut(times: Iterator[float], order: Poisson | Constant | Burst | Trace) -> Iterator[Due]:
    pick = Pick(order.kind, order.lane)
    return map(Due, schedule.until(times, order.seconds), repeat(pick))


def _with_budget(order: Poisson | Constant | Burst | Trace | Clocks) -> Iterator[Due]:
    for due in order.due():
        own_ms = due.pick.budget_ms
        yield due if own_ms else Due(due.at_s, due.pick._replace(budget_ms=order.budget_ms))
