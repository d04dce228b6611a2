"""The objectives as data (`perf/slo.toml`), and whether a run has met them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from engine.messages import Lane
from perf.load.generator import Outcome
from perf.load.trip import Trip
from perf.run.record import Verdict
from perf.run.tables import TableError, converted, tables

FILE = Path(__file__).resolve().parents[1] / "slo.toml"
BAD_FRAMES = 10  # that an objective must allow before a run can claim it: 1,000 frames for a p99

Above = Annotated[float, Meta(gt=0)]


class Burn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The most times over that the error budget may be spent in any `window_s` seconds."""

    window_s: Above
    limit: Above


class Objective(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`percentile` per cent of the lane's frames have an answer within `limit_ms`."""

    scenario: str
    lane: Lane = "bulk"
    percentile: Annotated[float, Meta(gt=0, le=100)]
    limit_ms: Above
    burn: Burn | None = None

    def __post_init__(self) -> None:
        if self.burn and self.percentile == 100:
            raise ValueError("`burn` needs an error budget: a percentile below 100")

    @property
    def name(self) -> str:
        """As in `bulk p99 <= 100 ms`."""
        return f"{self.lane} p{self.percentile:g} <= {self.limit_ms:g} ms"

    @property
    def allowed(self) -> float:
        """The share of frames that may be bad: the error budget."""
        return round(1 - self.percentile / 100, 9)

    def is_bad(self, trip: Trip) -> bool:
        """Whether a frame spends budget: late, dead-lettered or never answered."""
        late = trip.latency_ms is None or trip.latency_ms > self.limit_ms
        return late or trip.status == "dead-letter"

    @property
    def frames_to_claim(self) -> int | None:
        """The least frames that can claim it: fewer hold too few bad ones. None for all frames."""
        return math.ceil(round(BAD_FRAMES / self.allowed, 6)) if self.allowed else None


class Goodput(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Under whatever load, at least `share` of the highest rate has results."""

    scenario: str
    share: Annotated[float, Meta(gt=0, le=1)]

    @property
    def name(self) -> str:
        """As in `goodput >= 90 % of the highest rate`."""
        return f"goodput >= {100 * self.share:g} % of the highest rate"


class _File(msgspec.Struct, forbid_unknown_fields=True):
    objective: list[Objective]
    goodput: list[Goodput] = []


def read(scenarios: Iterable[str], path: Path = FILE) -> list[Objective]:
    """Return all objectives, each of a known scenario; raise `TableError` naming file and key."""
    found = converted(tables(path), _File, path, "objectives").objective
    _check("objective", found, scenarios, path)
    return found


def goodputs(scenarios: Iterable[str], path: Path = FILE) -> dict[str, Goodput]:
    """Return what goodput each scenario must have; raise `TableError` as `read` does."""
    found = converted(tables(path), _File, path, "objectives").goodput
    _check("goodput", found, scenarios, path)
    return {one.scenario: one for one in found}


def _check(
    kind: str, found: Sequence[Objective | Goodput], scenarios: Iterable[str], path: Path
) -> None:
    known, seen = set(scenarios), set[tuple[str, str]]()
    for number, one in enumerate(found):
        place = f"{path}: {kind}[{number}]"
        if one.scenario not in known:
            names = ", ".join(sorted(known))
            raise TableError(f"{place}: no scenario {one.scenario!r}; there are {names}")
        if (one.scenario, one.name) in seen:
            raise TableError(f"{place}: {one.name} of {one.scenario} is there already")
        seen.add((one.scenario, one.name))


def judged(objectives: Iterable[Objective], trips: Sequence[Trip]) -> list[Verdict]:
    """Return the verdicts on a run; a lane without a frame has missed every objective."""
    verdicts = []
    for one in objectives:
        of_lane = [trip for trip in trips if trip.lane == one.lane]
        verdicts.append(_at_percentile(one, of_lane))
        if one.burn is not None:
            verdicts.append(_while_it_ran(one, one.burn, of_lane))
    return verdicts


def judged_goodput(
    asked: Goodput, outcome: Outcome, *, offered_hz: float, highest_hz: float
) -> Verdict:
    """Return the verdict on the results a second, from the start of the run to the last answer.

    Results that are late count: what was acknowledged is never refused. Dead letters do not.
    Where less than the highest rate was offered, it is of what was offered.
    """
    good = outcome.answered - outcome.statuses.get("dead-letter", 0)
    share = good / outcome.seconds / min(offered_hz, highest_hz)
    return Verdict(
        name=asked.name,
        percentile=None,
        limit_ms=None,
        observed_ms=None,
        met=share >= asked.share,
        burn_rate=None,
        share=round(share, 4),
    )


def _at_percentile(objective: Objective, trips: list[Trip]) -> Verdict:
    bad = sum(map(objective.is_bad, trips))
    return Verdict(
        name=objective.name,
        percentile=objective.percentile,
        limit_ms=objective.limit_ms,
        observed_ms=observed_ms(trips, objective.percentile),
        met=bool(trips) and bad <= round(objective.allowed * len(trips), 6),
        burn_rate=_burn_rate(objective, bad, len(trips)),
    )


def _while_it_ran(objective: Objective, burn: Burn, trips: list[Trip]) -> Verdict:
    """Judge the worst stretch that begins with a frame."""
    worst = _worst(objective, burn.window_s, trips)
    return Verdict(
        name=f"{objective.name}: burn rate in any {burn.window_s:g} s <= {burn.limit:g}",
        percentile=objective.percentile,
        limit_ms=objective.limit_ms,
        observed_ms=None,
        met=worst is not None and worst <= burn.limit,
        burn_rate=worst,
    )


def _worst(objective: Objective, window_s: float, trips: list[Trip]) -> float | None:
    """Return the highest burn rate of any whole window of the run; of all of a shorter run."""
    if not trips:
        return None
    ordered = sorted((trip.due_s, objective.is_bad(trip)) for trip in trips)
    window_s = min(window_s, ordered[-1][0] - ordered[0][0])
    worst, first, bad = 0.0, 0, 0
    for number, (due_s, is_bad) in enumerate(ordered):
        bad += is_bad
        while ordered[first][0] < due_s - window_s:
            bad -= ordered[first][1]
            first += 1
        if due_s - ordered[0][0] >= window_s:
            worst = max(worst, _burn_rate(objective, bad, number - first + 1) or 0.0)
    return worst


def _burn_rate(objective: Objective, bad: int, frames: int) -> float | None:
    if not frames or not objective.allowed:
        return None
    return round(bad / frames / objective.allowed, 4)


def observed_ms(trips: Sequence[Trip], percentile: float) -> float | None:
    """Return the least latency that `percentile` of the frames do not exceed (nearest rank).

    A frame without an answer is later than all others: None where that is what is asked for.
    """
    if not trips:
        return None
    found = sorted(math.inf if one.latency_ms is None else one.latency_ms for one in trips)
    value = found[max(1, math.ceil(round(percentile / 100 * len(found), 6))) - 1]
    return None if math.isinf(value) else value
