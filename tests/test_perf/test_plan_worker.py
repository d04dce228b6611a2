"""The simulated worker against queueing theory's own results; `test_plan_clock` has its parts."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from statistics import fmean

import pytest

from engine.batcher import Curve
from perf.load.schedule import constant, poisson
from perf.plan.clock import Clock, Cores
from perf.plan.costs import Works
from perf.plan.worker import Arrival, Broker, Frame, Model, Rules, Worker, feed

FRAMES, PARTITIONS = 8_000, 64  # so many that no frame waits for its partition's turn
NOTHING = Works(*[0.0] * 9)


def mean_s(
    due: Iterator[float],
    *,
    batch_s: float,
    instances: int = 1,
    wait_s: float = 0.0,
) -> float:
    """Return a frame's mean time in a worker in which only the model has work."""
    clock = Clock()
    model = Model(Curve({1: batch_s}), {1: batch_s}, instances=instances, on_cores=False)
    rules = Rules(
        max_batch=1,
        max_wait_s=0.0,
        inflight_frames=FRAMES,
        compute_threads=1,
        infer_slots=instances + 2,
    )
    broker = Broker(clock, None, wait_s)
    worker = Worker(
        clock, Cores(clock, 1), broker, model, rules, budget_s=1e9, answered=lambda _: None
    )
    frames = (
        Frame(Arrival(at_s, n % PARTITIONS, NOTHING)) for n, at_s in enumerate(islice(due, FRAMES))
    )
    done = feed(clock, frames, lambda _, sent: sent(), broker, lambda _: worker)
    assert len(done) == worker.frames == FRAMES
    assert worker.batches == FRAMES
    return fmean((one.answered_s or 0.0) - one.arrival.due_s for one in done)


@pytest.mark.parametrize("load", [0.3, 0.7, 0.9])
def test_one_instance_is_md1(load: float) -> None:
    """M/D/1: the mean time is 1 + load / 2 / (1 - load) (Pollaczek and Khinchine)."""
    found = mean_s(poisson(load, seed=4), batch_s=1.0)
    assert found == pytest.approx(1 + load / 2 / (1 - load), rel=0.12)


def test_frame_clocks_do_not_wait_where_poisson_arrivals_do() -> None:
    """D/D/1: below its rate a server is free whenever a frame comes."""
    assert mean_s(constant(0.9), batch_s=1.0) == pytest.approx(1.0)


def test_two_instances_are_md2() -> None:
    """M/M/2 waits load^2 / (1 - load^2) of its work; M/D/c about half of M/M/c (Lee, Longton)."""
    load = 0.7
    found = mean_s(poisson(2 * load, seed=4), batch_s=1.0, instances=2)
    assert found - 1 == pytest.approx(load**2 / (1 - load**2) / 2, rel=0.15)


def test_what_waits_for_no_processor_is_added() -> None:
    assert mean_s(constant(0.5), batch_s=1.0, wait_s=0.4) == pytest.approx(1.4)
