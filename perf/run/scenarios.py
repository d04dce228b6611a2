"""The scenarios as data (`perf/scenarios.toml`), and the load that each asks of a generator."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from engine.messages import Lane
from perf.load.orders import Backlog, Burst, Clocks, Constant, Order, Poisson, Scanner, Together
from perf.run.tables import TableError, converted, tables

FILE = Path(__file__).resolve().parents[1] / "scenarios.toml"
KINDS = ("cine", "ct", "ultrasound", "mammography")

Above = Annotated[float, Meta(gt=0)]
Count = Annotated[int, Meta(ge=1)]
Arrivals = Literal["poisson", "constant", "burst", "clock", "backlog"]
What = Literal["kill worker", "kill triton", "swap model"]

# The keys that say how much, by arrivals: what each takes, and nothing else.
_RATE = frozenset({"rate_hz", "share"})
_TAKES: dict[Arrivals, frozenset[str]] = {
    "poisson": _RATE,
    "constant": _RATE,
    "burst": _RATE | {"size"},
    "clock": frozenset({"rate_hz", "count"}),
    "backlog": frozenset({"outstanding"}),
}


class Load(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One stream of frames. `rate_hz` is that of each of `count` scanners with `clock`.

    `share` is of the highest rate. `size` frames make a burst; `outstanding` frames are under way
    in a backlog. Neither rate, with Poisson arrivals, is a rate to be searched.
    """

    arrivals: Arrivals
    kind: Literal["cine", "ct", "ultrasound", "mammography"] = "cine"
    lane: Lane = "bulk"
    rate_hz: Above | None = None
    share: Above | None = None
    count: Count | None = None
    size: Count | None = None
    outstanding: Count | None = None
    budget_ms: Above | None = None

    def __post_init__(self) -> None:
        given = {"rate_hz", "share", "count", "size", "outstanding"}
        given = {name for name in given if getattr(self, name) is not None}
        if strange := sorted(given - _TAKES[self.arrivals]):
            raise ValueError(f"`{strange[0]}` says nothing with arrivals {self.arrivals!r}")
        if self.arrivals == "clock" and self.rate_hz is None:
            raise ValueError("a clock needs `rate_hz`")
        if self.arrivals == "burst" and self.size is None:
            raise ValueError("a burst needs `size`")
        if self.arrivals == "backlog" and self.outstanding is None:
            raise ValueError("a backlog needs `outstanding`")
        if {"rate_hz", "share"} <= given:
            raise ValueError("`rate_hz` and `share`: one of them")


class Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What happens to the target, at this share of the run."""

    at: Annotated[float, Meta(ge=0, lt=1)]
    what: What


class Scenario(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One scenario. `short_s` replaces `seconds` with `--short`; `name` is its table's."""

    name: str = ""
    about: str
    seconds: Above
    short_s: Above
    load: Annotated[list[Load], Meta(min_length=1)]
    drain_s: Above = 30.0
    search_steps: Count | None = None
    workers: Count = 1
    stat_workers: Annotated[int, Meta(ge=0)] = 0
    watch_growth: bool = False
    faults: list[Fault] = []

    def __post_init__(self) -> None:
        alone = self.searches or any(one.arrivals == "backlog" for one in self.load)
        if alone and len(self.load) > 1:
            raise ValueError("a search and a backlog are one `load` each")
        for one in self.load:
            fixed = one.arrivals == "backlog" or one.rate_hz or one.share
            if bool(fixed) == self.searches:
                raise ValueError("`rate_hz` or `share`, or `search_steps`: one of them")
        if self.searches and self.load[0].arrivals != "poisson":
            raise ValueError("a search has Poisson arrivals")
        if not self.stat_workers and any(one.lane == "stat" for one in self.load):
            raise ValueError("a load of lane stat needs `stat_workers`")

    @property
    def searches(self) -> bool:
        """Whether the rate is what is asked."""
        return self.search_steps is not None

    @property
    def closed(self) -> bool:
        """Whether it waits for answers."""
        return self.load[0].arrivals == "backlog"

    @property
    def needs_highest(self) -> bool:
        """Whether the highest rate is measured first."""
        return self.searches or any(one.share for one in self.load)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of frames that it sends."""
        return tuple(kind for kind in KINDS if any(one.kind == kind for one in self.load))


def read(path: Path = FILE) -> dict[str, Scenario]:
    """Return all scenarios by name; raise `TableError` naming file, scenario and key."""
    found = {
        name: msgspec.structs.replace(converted(one, Scenario, path, name), name=name)
        for name, one in tables(path).items()
    }
    if not found:
        raise TableError(f"{path}: no scenario")
    return found


def rates(scenario: Scenario, highest_hz: float | None, asked_hz: float | None) -> list[float]:
    """Return frames a second of each load, of all its scanners together.

    `highest_hz` is what a `share` is of. With `asked_hz` they keep their proportions, and add up
    to that. A backlog has no rate: raises ValueError.
    """
    if scenario.closed:
        raise ValueError(f"{scenario.name} has no rate: it goes as fast as it can")
    usual = [
        (one.rate_hz or 0.0) * (one.count or 1) or (one.share or 1.0) * (highest_hz or 1.0)
        for one in scenario.load
    ]
    if asked_hz is None:
        return usual
    return [asked_hz * one / sum(usual) for one in usual]


def order(scenario: Scenario, each_hz: list[float], seconds: float, seed: int) -> Order:
    """Return what a generator is told, given each load's rate (`rates`; empty for a backlog)."""
    if scenario.closed:
        return _backlog(scenario, seconds)
    pairs = list(zip(scenario.load, each_hz, strict=True))
    clocks = tuple(
        Scanner(hz / (one.count or 1), one.kind, one.count or 1, one.lane, one.budget_ms)
        for one, hz in pairs
        if one.arrivals == "clock"
    )
    orders = [
        _open(one, hz, seconds, seed + number)
        for number, (one, hz) in enumerate(pairs)
        if one.arrivals != "clock"
    ]
    if clocks:
        budget_ms = max(one.budget_ms or BUDGET_MS for one in clocks)
        orders.append(Clocks(clocks, seconds, seed, budget_ms))
    if len(orders) == 1:
        return orders[0]._replace(drain_s=scenario.drain_s)
    return Together(tuple(orders), scenario.drain_s)


BUDGET_MS = 1000.0


def _open(load: Load, hz: float, seconds: float, seed: int) -> Poisson | Constant | Burst | Clocks:
    budget_ms = load.budget_ms or BUDGET_MS
    if load.arrivals == "burst":
        size = load.size or 1
        return Burst(hz, seconds, seed, size, budget_ms, lane=load.lane, kind=load.kind)
    if load.arrivals == "constant":
        return Constant(hz, seconds, budget_ms, lane=load.lane, kind=load.kind)
    return Poisson(hz, seconds, seed, budget_ms, lane=load.lane, kind=load.kind)


def _backlog(scenario: Scenario, seconds: float) -> Backlog:
    (one,) = scenario.load
    return Backlog(
        outstanding=one.outstanding or 1,
        seconds=seconds,
        warm_s=min(5.0, seconds / 2),
        budget_ms=one.budget_ms or BUDGET_MS,
        drain_s=scenario.drain_s,
        lane=one.lane,
        kind=one.kind,
    )
