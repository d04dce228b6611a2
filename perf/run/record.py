"""What one run gives: the JSON that reports, comparisons and other programs read.

Each name ends in its unit; what was not measured is null, never 0. Keys are added, never changed,
within one `schema`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec

from perf.load.recorder import Summary

SCHEMA: Literal["scanstream.perf.v1"] = "scanstream.perf.v1"


class RecordUnreadable(ValueError):
    """A file is not the record of a run; the text names the file and what is wrong."""


class Bucket(msgspec.Struct, frozen=True, array_like=True):
    """Latencies up to `upper_bound_ms`, and above that of the bucket before; never empty."""

    upper_bound_ms: float
    count: int


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """One run of a search: `rate_hz` was asked for, `p50` and `p99` are milliseconds.

    `stopped` where it ended early because too many frames were under way. `held` where it met
    the objective of the search.
    """

    rate_hz: float
    answered_hz: float
    samples: int
    p50: float | None
    p99: float | None
    stopped: bool
    held: bool


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """Milliseconds that a frame spends in one stage."""

    p50: float
    p99: float
    mean: float


class GeneratorCost(msgspec.Struct, frozen=True, kw_only=True):
    """Processor milliseconds a frame of the generator: in this run, and with the null target.

    `was_bottleneck` where its lag is part of what the latencies show.
    """

    cpu_ms: float | None
    lag_p99_ms: float | None
    was_bottleneck: bool
    null_cpu_ms: float | None


class Second(msgspec.Struct, frozen=True, kw_only=True):
    """The frames that were due in one second of the run, which began at `at_s`.

    `sent` are those due in it, `answered` the answers that came in it; `p50` and `p99`, in
    milliseconds, of the frames that were due in it.
    """

    at_s: float
    sent: int
    answered: int
    p50: float | None
    p99: float | None


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """What happened to the target during the run, `at_s` after its start."""

    at_s: float
    what: str


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """One objective, judged. `percentile` is 0 to 100; it and `limit_ms` are null for goodput.

    `share` is the goodput that was seen, of the highest rate. `burn_rate` is the share of bad
    frames over the share that the objective allows: at 1 the error budget is spent exactly; above
    1 the objective is missed.
    """

    name: str
    percentile: float | None
    limit_ms: float | None
    observed_ms: float | None
    met: bool
    burn_rate: float | None
    share: float | None = None


class Limit(NamedTuple):
    """An objective at a percentile: a latency."""

    name: str
    percentile: float
    limit_ms: float


class RunRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One run.

    `latency_ms` from a frame's intended time to its answer, null where nothing was answered;
    `lag_ms` from there to when it was sent. `stages_ms` in the order of `engine.metrics.STAGES`
    with what lies outside them before and after, so that the means add up to `latency_ms.mean`.
    `cpu_ms` are processor milliseconds a frame, by process. `rate_hz` is the rate asked for, or
    found where that was the question. `bytes_per_frame` are a frame's encoded pixels and its
    answer. `grown` names what a soak saw grow.
    """

    schema: Literal["scanstream.perf.v1"] = SCHEMA
    scenario: str
    command: str
    commit: str
    machine: dict[str, Any]
    broker: str
    started: str
    seed: int
    seconds: float
    rate_hz: float
    answered_hz: float
    sent: int
    answered: int
    lost: int
    statuses: dict[str, int]
    latency_ms: Summary | None
    lag_ms: Summary | None
    histogram_ms: list[Bucket] = []
    points: list[Point] = []
    stages_ms: dict[str, Stage] = {}
    cpu_ms: dict[str, float] = {}
    bytes_per_frame: float | None = None
    generator: GeneratorCost
    lanes: dict[str, Summary] = {}
    kinds: dict[str, Summary] = {}
    timeline: list[Second] = []
    events: list[Event] = []
    objectives: list[Verdict] = []
    grown: list[str] = []
    notes: list[str] = []

    @property
    def met(self) -> bool:
        """Whether every frame has a result, every objective is met, and nothing has grown."""
        whole = self.sent > 0 and self.lost == 0 and not self.statuses.get("dead-letter")
        return whole and not self.grown and all(one.met for one in self.objectives)

    @property
    def limits(self) -> list[Limit]:
        """The objectives that ask for a latency; goodput does not."""
        return [
            Limit(one.name, one.percentile, one.limit_ms)
            for one in self.objectives
            if one.percentile is not None and one.limit_ms is not None
        ]


def encoded(record: RunRecord) -> str:
    """Return the record as JSON, indented."""
    return msgspec.json.format(msgspec.json.encode(record)).decode() + "\n"


def read(path: Path) -> RunRecord:
    """Return the record in a file; raise `RecordUnreadable`, OSError where it cannot be opened."""
    data = path.read_bytes()
    try:
        found = json.loads(data)
        schema = found.get("schema") if isinstance(found, dict) else None
        if schema != SCHEMA:
            raise RecordUnreadable(f"{path}: its schema is {schema!r}, not {SCHEMA!r}")
        return msgspec.json.decode(data, type=RunRecord)
    except (msgspec.DecodeError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise RecordUnreadable(f"{path}: {error}") from None
