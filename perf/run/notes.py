"""What a reader of a record must know before believing its figures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from engine.config import Settings
from perf.run.stack import BROKERS, Loaded

if TYPE_CHECKING:
    from perf.run.measure import Plan, Ran

BUSY = 0.5  # load average a core, before the run
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
    outcome = ran.outcome
    if plan.short:
        yield "a short run: it tests the harness, and its figures say nothing"
    if outcome.was_bottleneck:
        yield (
            f"the generator was the bottleneck: its sends were {outcome.lag_ms.p99:.1f} ms behind "
            "at p99, which is in the latencies"
        )
    if not ran.held:
        yield f"no rate held: {ran.rate_hz:.1f} frames/s, the lowest that ran for long, did not"
    if plan.scenario.closed:
        yield "a closed loop: its rate is the result; its latencies are those of its own queue"
    if dead := outcome.statuses.get("dead-letter"):
        yield f"{dead} frames became dead letters"
    if unrouted := outcome.statuses.get("unrouted"):
        yield f"{unrouted} frames matched no route of the target: nothing was computed for them"
    if ran.highest_hz:
        share = outcome.rate_hz / ran.highest_hz
        yield (
            f"highest rate {ran.highest_hz:.1f} frames/s with a backlog; answered "
            f"{outcome.rate_hz:.1f} frames/s, {share:.2f} of it"
        )


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
