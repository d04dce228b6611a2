"""The highest Poisson rate that holds a latency objective, by bisection with short runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from perf.load.generator import Outcome
from perf.load.process import Poisson

Run = Callable[[Poisson], Outcome]

SAMPLES = 400  # wanted in a run: its p99 is the fourth largest
SHORTEST_S, LONGEST_S = 6.0, 15.0
NEAR = 0.3  # of a rate that was found: how far to each side it is searched again
HOPELESS = 3.0  # times the objective: with so much under way no run recovers


@dataclass(slots=True)
class Search:
    """One side's search: the rate lies between `low`, which held, and `high`, which is not known
    to. A first rate that fails is searched below; one at which nothing is wrong is the answer.

    `points` are all runs, in their order.
    """

    high: float
    objective_ms: float
    low: float = 0.0
    points: list[tuple[float, Outcome]] = field(default_factory=list)

    def next_hz(self) -> float:
        """Return the rate to try next."""
        return (self.low + self.high) / 2

    def told(self, rate_hz: float, outcome: Outcome) -> bool:
        """Take in a run; return whether it held the objective."""
        held = holds(outcome, self.objective_ms)
        if held:
            self.low = rate_hz
        else:
            self.high = rate_hz
        self.points.append((rate_hz, outcome))
        return held


def holds(outcome: Outcome, objective_ms: float) -> bool:
    """Whether every frame was answered, and 99 % of them in time."""
    whole = not outcome.stopped and outcome.lost == 0 and outcome.answered > 0
    return whole and outcome.latency_ms.p99 <= objective_ms


def order(rate_hz: float, objective_ms: float, seed: int) -> Poisson:
    """Return a run at one rate, with the objective as each frame's deadline."""
    return Poisson(
        rate_hz=rate_hz,
        seconds=min(LONGEST_S, max(SHORTEST_S, SAMPLES / rate_hz)),
        seed=seed,
        budget_ms=objective_ms,
        drain_s=30.0,
        most_under_way=max(20, round(rate_hz * HOPELESS * objective_ms / 1e3)),
    )


def highest(
    sides: Mapping[str, Run],
    ceilings: Mapping[str, float],
    *,
    objective_ms: float,
    steps: int,
    progress: Callable[[str], None],
) -> dict[str, Search]:
    """Search every side at once, a run of each in turn; `ceilings` are rates none can exceed.

    After `steps` runs the rate is known to 1 / 2^steps of the ceiling, and to what the seeds of
    so short runs leave open.
    """
    searches = {name: Search(ceilings[name], objective_ms) for name in sides}
    _bisect(sides, searches, range(1, steps + 1), progress)
    return searches


def again(
    sides: Mapping[str, Run],
    found: Mapping[str, Search],
    *,
    first_seed: int,
    steps: int,
    progress: Callable[[str], None],
) -> dict[str, Search]:
    """Search with other seeds near what was found.

    A search that ends at its own lower end found nothing that held: its `low` is an upper bound.
    """
    near = {
        name: Search((1 + NEAR) * one.low, one.objective_ms, (1 - NEAR) * one.low)
        for name, one in found.items()
        if name in sides
    }
    _bisect(sides, near, range(first_seed, first_seed + steps), progress)
    return near


def _bisect(
    sides: Mapping[str, Run],
    searches: Mapping[str, Search],
    seeds: range,
    progress: Callable[[str], None],
) -> None:
    for seed in seeds:
        for name, run in sides.items():
            search, rate_hz = searches[name], searches[name].next_hz()
            outcome = run(order(rate_hz, search.objective_ms, seed=seed))
            held = search.told(rate_hz, outcome)
            progress(
                f"seed {seed} (to {seeds[-1]}), {name}: {rate_hz:.1f} /s, "
                f"p99 {outcome.latency_ms.p99:.0f} ms of {outcome.answered}"
                f"{'' if held else ', too much'}"
                f"{', the generator was late itself' if outcome.was_bottleneck else ''}"
            )
