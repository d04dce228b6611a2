"""One run of one scenario, from its load to its record."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from perf.compare.machine import commit
from perf.load.generator import Outcome
from perf.load.process import Backlog, Constant, Loader
from perf.load.target import TargetFailed
from perf.run import gather, search
from perf.run.faults import Told, under_load
from perf.run.growth import Growth
from perf.run.notes import notes
from perf.run.record import Event, GeneratorCost, Point, RunRecord, Verdict
from perf.run.scenarios import Scenario, order, rates
from perf.run.slo import Goodput, Objective, judged, judged_goodput
from perf.run.stack import Loaded

OUTSTANDING, BUDGET_MS = 128, 60_000.0
HIGHEST_S, HIGHEST_WARM_S = 10.0, 5.0
SHORT_HIGHEST_S, SHORT_STEPS = 2.0, 2
NULL_S, NULL_MOST_HZ = 2.0, 500.0
TOLD_EVERY_S = 10.0

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What was asked for. `rate_hz` is None for the scenario's own; `seconds` are of the load."""

    scenario: Scenario
    objectives: list[Objective]
    command: str
    rate_hz: float | None
    seconds: float
    seed: int
    short: bool
    goodput: Goodput | None = None

    @property
    def needs_highest(self) -> bool:
        """Whether the highest rate is measured first: to search below it, or for a share of it."""
        return bool(self.goodput) or (self.scenario.needs_highest and self.rate_hz is None)

    @property
    def searched(self) -> Objective | None:
        """The objective whose highest rate is looked for: the scenario's own at p99."""
        if not self.scenario.searches or self.rate_hz is not None:
            return None
        return next(one for one in self.objectives if one.percentile == 99)


@dataclass(slots=True, kw_only=True)
class Ran:
    """What the load gave. `highest_hz` is None where it was not measured."""

    outcome: Outcome
    rate_hz: float
    told: Told
    spent: dict[str, float]
    points: list[Point]
    grown: list[str]
    highest_hz: float | None = None
    held: bool = True


def measure(loaded: Loaded, plan: Plan, about: dict[str, object], say: Say) -> RunRecord:
    """Run the scenario against what is up; return its record. `about` is the machine, before."""
    started = datetime.now(UTC)
    ran = _ran(loaded, plan, say)
    outcome, trips = ran.outcome, ran.outcome.trips
    return RunRecord(
        scenario=plan.scenario.name,
        command=plan.command,
        commit=commit(),
        machine=about,
        broker=loaded.broker,
        started=started.isoformat(timespec="seconds"),
        seed=plan.seed,
        seconds=round(outcome.seconds, 3),
        rate_hz=round(ran.rate_hz, 3),
        answered_hz=round(outcome.rate_hz, 3),
        sent=outcome.sent,
        answered=outcome.answered,
        lost=outcome.lost,
        statuses=outcome.statuses,
        latency_ms=gather.summary(outcome.latency_ms),
        lag_ms=gather.summary(outcome.lag_ms),
        histogram_ms=gather.histogram(trips),
        points=ran.points,
        stages_ms=gather.stages(trips),
        cpu_ms=ran.spent,
        bytes_per_frame=gather.bytes_per_frame(trips),
        generator=_cost(ran, null_cpu_ms(loaded, ran.rate_hz)),
        lanes=outcome.lanes,
        kinds=gather.kinds(trips),
        timeline=gather.timeline(trips, outcome.start_s),
        events=[Event(at_s=round(at_s - outcome.start_s, 3), what=what) for at_s, what in ran.told],
        objectives=_verdicts(plan, ran),
        grown=ran.grown,
        notes=notes(plan, ran, loaded, about),
    )


def _verdicts(plan: Plan, ran: Ran) -> list[Verdict]:
    found = judged(plan.objectives, ran.outcome.trips)
    if plan.goodput and ran.highest_hz:
        offered_hz = ran.outcome.sent / plan.seconds
        found.append(
            judged_goodput(
                plan.goodput, ran.outcome, offered_hz=offered_hz, highest_hz=ran.highest_hz
            )
        )
    return found


def _cost(ran: Ran, null_ms: float | None) -> GeneratorCost:
    lag = gather.summary(ran.outcome.lag_ms)
    return GeneratorCost(
        cpu_ms=ran.spent.get("generator"),
        lag_p99_ms=lag.p99 if lag else None,
        was_bottleneck=ran.outcome.was_bottleneck,
        null_cpu_ms=null_ms,
    )


def null_cpu_ms(loaded: Loaded, rate_hz: float) -> float | None:
    """Return what the generator alone spends on a frame, milliseconds, at up to 500 a second."""
    asked = Constant(max(1.0, min(rate_hz, NULL_MOST_HZ)), NULL_S, BUDGET_MS)
    with Loader(None, dict(loaded.samples)) as loader:
        outcome = loader.run(asked)
    return round(1e3 * outcome.cpu_s / outcome.sent, gather.DIGITS) if outcome.sent else None


def _ran(loaded: Loaded, plan: Plan, say: Say) -> Ran:
    scenario = plan.scenario
    highest_hz = None
    if plan.needs_highest:
        highest_hz = _highest(loaded, plan)
        say(f"highest rate {highest_hz:.1f} frames/s, with {OUTSTANDING} frames kept under way")
    if plan.searched is not None and highest_hz is not None:
        ran = _searched(loaded, plan, plan.searched, highest_hz, say)
    elif scenario.closed:
        ran = _run(loaded, plan, [], plan.seed, say)
    else:
        ran = _run(loaded, plan, rates(scenario, highest_hz, plan.rate_hz), plan.seed, say)
    ran.highest_hz = highest_hz
    return ran


def _highest(loaded: Loaded, plan: Plan) -> float:
    """Return frames a second with a backlog; raise `TargetFailed` where none was answered."""
    seconds = SHORT_HIGHEST_S if plan.short else HIGHEST_S
    warm_s = SHORT_HIGHEST_S / 2 if plan.short else HIGHEST_WARM_S
    kind = plan.scenario.load[0].kind
    asked = Backlog(OUTSTANDING, seconds, warm_s, BUDGET_MS, drain_s=120.0, kind=kind)
    if not (found := loaded.loader.run(asked).rate_hz):
        raise TargetFailed(f"no answer in {seconds:g} s: the highest rate cannot be measured")
    return found


def _searched(loaded: Loaded, plan: Plan, objective: Objective, highest_hz: float, say: Say) -> Ran:
    steps = SHORT_STEPS if plan.short else plan.scenario.search_steps or 1
    rate_hz, points = search.found(
        loaded.loader, objective, highest_hz=highest_hz, steps=steps, progress=say
    )
    held = any(one.held for one in points)
    say(
        f"{rate_hz:.1f} /s {'held' if held else 'did not hold, nor did more,'} for a short run; "
        f"now {plan.seconds:g} s of it"
    )
    runs: list[Ran] = []

    def run(rate_hz: float, seed: int) -> Outcome:
        runs.append(_run(loaded, plan, [rate_hz], seed, say))
        return runs[-1].outcome

    tries = 1 if plan.short else search.CONFIRMATIONS
    last = search.confirmed(run, objective, rate_hz, tries=tries, progress=say)
    ran = runs[-1]
    ran.points, ran.held = [*points, *last.points], last.held
    return ran


def _run(loaded: Loaded, plan: Plan, each_hz: list[float], seed: int, say: Say) -> Ran:
    """Run the load once, with what the scenario does to the target meanwhile."""
    scenario = plan.scenario
    asked = order(scenario, each_hz, plan.seconds, seed)
    growth = Growth(loaded, plan.seconds) if scenario.watch_growth and not plan.short else None
    progress = _Progress(plan.seconds, say)

    def tick(gone_s: float) -> None:
        progress(gone_s)
        if growth:
            growth.look(gone_s)

    before = loaded.spent()
    outcome, told = under_load(loaded, asked, scenario.faults, tick)
    return Ran(
        outcome=outcome,
        rate_hz=sum(each_hz) or outcome.rate_hz,
        told=told,
        spent=gather.cpu_ms(before, loaded.spent(), outcome),
        points=[],
        grown=growth.found() if growth else [],
    )


class _Progress:
    """Says now and then how far a run is."""

    def __init__(self, seconds: float, say: Say) -> None:
        self._seconds, self._say = seconds, say
        self._next_s = time.monotonic() + TOLD_EVERY_S

    def __call__(self, gone_s: float) -> None:
        """Say it, where it is time."""
        if time.monotonic() < self._next_s:
            return
        self._next_s += TOLD_EVERY_S
        rest = "waiting for the last answers" if gone_s > self._seconds else "under load"
        self._say(f"{gone_s:.0f} s of {self._seconds:g}, {rest}")
