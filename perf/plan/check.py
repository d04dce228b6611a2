"""Holds the simulation against real stacks: `python -m perf plan --check`.

One worker and two, pinned to a core each. Both sides are searched the same way, with the same
arrivals: `perf/load/capacity.py`, and again with other seeds.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from engine.config import Settings
from perf.compare.machine import commit, machine
from perf.load.capacity import Run, Search, again, highest
from perf.load.frames import cine
from perf.load.orders import Backlog
from perf.load.stacks import chosen_broker
from perf.plan.costs import Costs
from perf.plan.pinned import pinned
from perf.plan.replay import Replay

FILE = Path(__file__).with_name("check.json")
AGREEMENT = 0.25
STEPS, REPEATS = 6, 2
OFFLINE = Backlog(outstanding=128, seconds=10.0, warm_s=2.0, budget_ms=60_000, drain_s=60.0)
Progress = Callable[[str], None]


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """One number of workers. Rates in frames/s; the highest ones are medians of the searches.

    `error` is the simulated one over the measured one, less 1; None where none held. `spent_ms` is
    what each kind of process spent a frame over all measured runs.
    """

    workers: int
    measured_hz: float
    measured_all_hz: list[float]
    simulated_hz: float
    simulated_all_hz: list[float]
    error: float | None
    agrees: bool
    offline_measured_hz: float
    offline_simulated_hz: float
    spent_ms: dict[str, float]


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """The comparison; `costs_commit` is that of the costs it was made with."""

    machine: dict[str, Any]
    commit: str
    costs_commit: str
    broker: str
    objective_ms: float
    rows: list[Compared]


def check(costs: Costs, objective_ms: float, progress: Progress) -> Check:
    """Measure and simulate one worker and two; raises as `pinned` and its runs do."""
    about = machine()
    broker = chosen_broker("kafka")
    return Check(
        machine=about,
        commit=commit(),
        costs_commit=costs.commit,
        broker=broker.__name__,
        objective_ms=objective_ms,
        rows=[_compared(costs, workers, objective_ms, progress) for workers in (1, 2)],
    )


def _compared(costs: Costs, workers: int, objective_ms: float, progress: Progress) -> Compared:
    messages = [one.message for one in cine()]
    with pinned(workers, messages, Settings(), chosen_broker("kafka")) as stack:
        progress(f"{workers} worker(s): the stack is up")
        offline_hz = stack.run(OFFLINE).rate_hz
        before_s, (frames, _) = stack.spent(), stack.batches()
        measured = _searched(stack.run, offline_hz, objective_ms, progress)
        frames = stack.batches()[0] - frames
        spent = {name: 1e3 * (s - before_s[name]) / frames for name, s in stack.spent().items()}
    replay = Replay(costs, workers)
    simulated_offline_hz = replay.offline_hz()
    simulated = _searched(replay.run, simulated_offline_hz, objective_ms, lambda _: None)
    return compared(
        workers,
        measured,
        simulated,
        offline=(offline_hz, simulated_offline_hz),
        spent_ms=spent,
    )


def compared(
    workers: int,
    measured: list[float],
    simulated: list[float],
    *,
    offline: tuple[float, float],
    spent_ms: dict[str, float],
) -> Compared:
    """Judge the medians of the searches."""
    mine, theirs = statistics.median(measured), statistics.median(simulated)
    error = theirs / mine - 1 if mine else None
    return Compared(
        workers=workers,
        measured_hz=mine,
        measured_all_hz=measured,
        simulated_hz=theirs,
        simulated_all_hz=simulated,
        error=error,
        agrees=error is not None and abs(error) <= AGREEMENT,
        offline_measured_hz=offline[0],
        offline_simulated_hz=offline[1],
        spent_ms=spent_ms,
    )


def _searched(run: Run, ceiling_hz: float, objective_ms: float, progress: Progress) -> list[float]:
    """Return the highest rates by a search, and by searches near it with other seeds; 0: none."""
    given = {"": run}
    first: dict[str, Search] = highest(
        given, {"": ceiling_hz}, objective_ms=objective_ms, steps=STEPS, progress=progress
    )
    found = [first[""].low]
    if not found[0]:
        return found  # none held: there is nothing to search near
    for number in range(1, REPEATS + 1):
        near = again(given, first, first_seed=100 * number, steps=STEPS - 2, progress=progress)
        found.append(near[""].low)  # where none of these held, an upper bound
    return found
