"""The highest Poisson rate that holds an objective: short runs find it, a long one confirms it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from perf.load import capacity
from perf.load.generator import Outcome
from perf.load.process import Loader
from perf.run.gather import summary
from perf.run.record import Point
from perf.run.slo import Objective

BACK = 0.95  # of a rate that a long run has refuted
CONFIRMATIONS = 6
FIRST_SEED = 1000  # of the long runs: away from those of the short ones


class Confirmed(NamedTuple):
    """The rate, the long run at it, and all runs, in their order. `held` is whether it held."""

    rate_hz: float
    outcome: Outcome
    points: list[Point]
    held: bool


def found(
    loader: Loader,
    objective: Objective,
    *,
    highest_hz: float,
    steps: int,
    progress: Callable[[str], None],
) -> tuple[float, list[Point]]:
    """Return the highest rate below `highest_hz` that held in a short run, and all runs.

    Where none has held it is the lowest that was tried.
    """
    searches = capacity.highest(
        {"ours": loader.run},
        {"ours": highest_hz},
        objective_ms=objective.limit_ms,
        steps=steps,
        progress=progress,
    )
    search = searches["ours"]
    points = [_point(rate_hz, one, objective) for rate_hz, one in search.points]
    return search.low or min(rate_hz for rate_hz, _ in search.points), points


def confirmed(
    run: Callable[[float, int], Outcome],
    objective: Objective,
    rate_hz: float,
    *,
    tries: int,
    progress: Callable[[str], None],
) -> Confirmed:
    """Run for long at the rate, with `run(rate, seed)`; 5 % lower each time it does not hold."""
    points: list[Point] = []
    for number in range(tries):
        outcome = run(rate_hz, FIRST_SEED + number)
        points.append(_point(rate_hz, outcome, objective))
        if points[-1].held or number == tries - 1:
            break
        progress(f"{rate_hz:.1f} /s did not hold for long: p99 {outcome.latency_ms.p99:.0f} ms")
        rate_hz *= BACK
    return Confirmed(rate_hz, outcome, points, points[-1].held)


def _point(rate_hz: float, outcome: Outcome, objective: Objective) -> Point:
    of = summary(outcome.latency_ms)
    return Point(
        rate_hz=rate_hz,
        answered_hz=outcome.rate_hz,
        samples=outcome.answered,
        p50=of.p50 if of else None,
        p99=of.p99 if of else None,
        stopped=outcome.stopped,
        held=capacity.holds(outcome, objective.limit_ms),
    )
