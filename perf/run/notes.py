"""What a reader of a record must know before believing its figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from engine.config import Settings
from perf.load.generator import BUSY as BUSY_GENERATOR
from perf.load.generator import Outcome
from perf.run.stack import BROKERS, Loaded

if TYPE_CHECKING:
    from perf.run.measure import Plan, Ran

BUSY = 0.5  # load average a core, before the run
BEHIND_S = 2.0  # after the last frame: where answers are late by less, objectives judge them
KNOBS = (
    "partitions",
    "inline_limit",
    "wire_codec",
    "inflight_bytes",
    "inflight_frames",
    "compute_threads",
    "preprocess",
    "batching",
    "stat_guard",
    "max_batch",
    "max_wait_ms",
    "infer_slots",
    "model_threads",
    "precision",
)


def notes(plan: Plan, ran: Ran, loaded: Loaded, about: dict[str, object]) -> list[str]:
    """Return them, the gravest first."""
    return [*_of_the_run(plan, ran), *_of_the_machine(loaded, about), *_of_the_samples(plan, ran)]


def _of_the_run(plan: Plan, ran: Ran) -> Iterator[str]:
    if plan.short:
        yield "a short run: it tests the harness, and its figures say nothing"
    yield from _of_the_generator(ran.outcome)
    if not ran.held:
        yield f"no rate held: {ran.rate_hz:.1f} frames/s, the lowest that ran for long, did not"
    if plan.scenario.closed:
        yield "a closed loop: its rate is the result; its latencies are those of its own queue"
    elif not plan.scenario.faults and (behind_s := _behind_s(ran.outcome)) > BEHIND_S:
        yield (
            f"the target did not keep up: its last answer came {behind_s:.1f} s after the last "
            "frame was due, and the latencies are those of a queue that grew"
        )
    yield from _of_the_answers(ran)


def _of_the_generator(outcome: Outcome) -> Iterator[str]:
    if outcome.was_late:
        yield (
            f"the generator was the bottleneck: its sends were {outcome.lag_ms.p99:.1f} ms behind "
            "at p99, which is in the latencies"
        )
    if outcome.busy > BUSY_GENERATOR:
        yield (
            f"the generator was the bottleneck: it used {outcome.busy:.2f} of a core, and could "
            "hardly have sent more"
        )


def _of_the_answers(ran: Ran) -> Iterator[str]:
    outcome = ran.outcome
    if dead := outcome.statuses.get("dead-letter"):
        yield f"{dead} frames became dead letters"
    if unrouted := outcome.statuses.get("unrouted"):
        yield f"{unrouted} frames matched no route of the target: nothing was computed for them"
    if len(models := Counter(one.model for one in outcome.trips if one.model)) > 1:
        yield "; ".join(f"{frames} frames by {name}" for name, frames in sorted(models.items()))
    if ran.highest_hz:
        share = outcome.rate_hz / ran.highest_hz
        yield (
            f"highest rate {ran.highest_hz:.1f} frames/s with a backlog; answered "
            f"{outcome.rate_hz:.1f} frames/s, {share:.2f} of it"
        )


def _behind_s(outcome: Outcome) -> float:
    """Return the seconds from the last frame's intended time to the last answer."""
    last_due_s = max((one.due_s for one in outcome.trips), default=0.0)
    return outcome.start_s + outcome.seconds - last_due_s


def _of_the_machine(loaded: Loaded, about: dict[str, object]) -> Iterator[str]:
    usual = Settings()
    turned = [
        f"{name} = {getattr(loaded.settings, name)}"
        for name in KNOBS
        if loaded.stack and getattr(loaded.settings, name) != getattr(usual, name)
    ]
    if turned:
        yield f"settings other than the defaults: {', '.join(turned)}"
    load, cores = about.get("load_before"), about.get("cores")
    if isinstance(load, float) and isinstance(cores, int) and load > BUSY * cores:
        yield f"the machine was busy before the run: load average {load:g} on {cores} cores"
    if loaded.broker == BROKERS["Broker"]:
        yield (
            "the pip broker looks for new records only now and then while a fetch waits: at low "
            "rates that is most of the latency"
        )


def _of_the_samples(plan: Plan, ran: Ran) -> Iterator[str]:
    for one in plan.objectives:
        count = sum(trip.lane == one.lane for trip in ran.outcome.trips)
        if one.frames_to_claim and count < one.frames_to_claim:
            yield f"{one.name}: {count} frames; {one.frames_to_claim} could claim it"
