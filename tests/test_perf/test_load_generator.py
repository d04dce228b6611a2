"""Sending on time, matching answers, and telling a stall from a quiet system."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import pytest

from engine.config import Settings
from engine.messages import FrameMessage
from perf.baselines import decode as codecs
from perf.load import schedule
from perf.load.capacity import highest, holds
from perf.load.frames import Frames
from perf.load.generator import Generator, Outcome
from perf.load.process import Backlog, Loader, Poisson
from perf.load.recorder import Histogram, Summary, nanoseconds
from perf.load.stacks import Side
from perf.load.target import Answer, Answered, Null, TargetFailed
from perf.load.target_kafka import POLL_S, next_records

PIXELS = np.zeros((8, 8), np.uint16)
SAMPLES = [codecs.message(PIXELS, codecs.NATIVE), codecs.message(PIXELS + 1, codecs.NATIVE)]


class Held:
    """Answers frame after frame on a thread of its own, and none while it is held."""

    def __init__(self, hold: Callable[[int], bool] = lambda _: False) -> None:
        self._hold = hold
        self._sent: list[str] = []
        self._done = 0
        self._there = threading.Condition()
        self.release = threading.Event()
        self._open = True

    def start(self, answered: Answered) -> None:
        self._answered = answered
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def send(self, frame: FrameMessage) -> None:
        with self._there:
            self._sent.append(frame.id)
            self._there.notify()

    def close(self) -> None:
        self.release.set()
        with self._there:
            self._open = False
            self._there.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._there:
                self._there.wait_for(lambda: len(self._sent) > self._done or not self._open)
                if len(self._sent) <= self._done:
                    return
                name = self._sent[self._done]
            if self._hold(self._done):
                self.release.wait(10)
            self._answered(Answer(name, time.monotonic(), "ok", name.encode()))
            self._done += 1


def test_every_frame_is_a_new_object_of_one_of_the_series() -> None:
    frames = Frames(SAMPLES, series=4)
    made = [frames.next(1_000_000_000, 100.0) for _ in range(40)]
    assert {place for place, _ in made} == {0, 1}
    assert len({frame.id for _, frame in made}) == 40
    assert len({frame.info.series_instance_uid for _, frame in made}) == 4
    assert {frame.deadline_ms for _, frame in made} == {1100}
    assert all(len(frame.info.sop_instance_uid) <= 64 for _, frame in made)
    assert all(SAMPLES[place].value == frame.value for place, frame in made)


def test_a_stall_is_in_the_latencies_of_all_frames_that_were_due_in_it() -> None:
    target = Held(hold=lambda number: number == 20)
    generator = Generator(target, Frames(SAMPLES))
    timer = threading.Timer(0.6, target.release.set)
    timer.start()
    outcome = generator.open_loop(schedule.until(schedule.constant(100), 1.0), budget_ms=100)
    timer.join()
    generator.close()
    assert outcome.sent == outcome.answered == 100  # sending went on all through the stall
    assert outcome.lost == 0
    # some 35 of the frames were due while nothing was answered, not only the one that was held
    assert outcome.latency_ms.p90 > 100
    assert outcome.latency_ms.max > 250
    assert outcome.latency_ms.p50 < outcome.latency_ms.p90


def test_an_answer_counts_once_and_strangers_never() -> None:
    class Twice(Null):
        def send(self, frame: FrameMessage) -> None:
            self._answered(Answer("2.25.9/1", time.monotonic(), "ok", b""))
            for _ in range(2):
                self._answered(Answer(frame.id, time.monotonic(), "degraded", frame.value))

    generator = Generator(Twice(), Frames(SAMPLES))
    outcome = generator.open_loop(iter([0.0, 0.01, 0.02]), budget_ms=100, keep=True)
    assert (outcome.sent, outcome.answered) == (3, 3)
    assert outcome.statuses == {"degraded": 3}
    assert outcome.kept == {place: SAMPLES[place].value for place in (0, 1)}


def test_frames_without_an_answer_are_lost_and_too_many_end_the_run() -> None:
    class Silent(Null):
        def send(self, frame: FrameMessage) -> None:
            """Swallow it."""

    generator = Generator(Silent(), Frames(SAMPLES))
    outcome = generator.open_loop(iter([0.0, 0.01]), budget_ms=100, drain_s=0.1)
    assert (outcome.sent, outcome.answered, outcome.lost) == (2, 0, 2)
    assert not holds(outcome, 1e9)
    outcome = generator.open_loop(
        schedule.constant(500), budget_ms=100, drain_s=0.1, most_under_way=5
    )
    assert outcome.stopped
    assert outcome.sent == 5


def test_a_generator_that_cannot_keep_up_says_so() -> None:
    class Slow(Null):
        def send(self, frame: FrameMessage) -> None:
            threading.Event().wait(0.01)
            super().send(frame)

    generator = Generator(Slow(), Frames(SAMPLES))
    outcome = generator.open_loop(schedule.until(schedule.constant(300), 0.3), budget_ms=100)
    assert outcome.was_bottleneck
    assert outcome.lag_ms.p99 > 100
    assert outcome.latency_ms.p99 >= outcome.lag_ms.p50  # it is part of the latency, not hidden


def test_a_backlog_keeps_as_many_under_way_as_it_was_told() -> None:
    target, most = Held(hold=lambda number: number == 0), 0

    def look() -> None:
        nonlocal most
        most = len(target._sent)  # nothing was answered yet
        target.release.set()

    generator = Generator(target, Frames(SAMPLES))
    timer = threading.Timer(0.2, look)
    timer.start()
    outcome = generator.backlog(outstanding=8, seconds=0.3, warm_s=0.1, budget_ms=100)
    timer.join()
    generator.close()
    assert outcome.lost == 0
    assert outcome.rate_hz > 0
    assert most == 8
    assert outcome.seconds == pytest.approx(0.3, abs=0.01)


def test_the_process_shows_its_own_cost_with_the_null_target() -> None:
    with Loader(None, SAMPLES) as loader:
        outcome = loader.run(Poisson(200, 0.5, seed=1, budget_ms=100))
        again = loader.run(Poisson(200, 0.5, seed=1, budget_ms=100))
        backlog = loader.run(Backlog(16, 0.2, 0.0, budget_ms=100))
    assert outcome.sent == again.sent == len(list(schedule.until(schedule.poisson(200, 1), 0.5)))
    assert outcome.lost == 0
    assert 0 < outcome.cpu_s / outcome.sent < 0.01
    assert backlog.answered >= 16


def test_a_process_that_fails_gives_its_own_words() -> None:
    with (
        pytest.raises(TargetFailed, match="at least one frame"),
        Loader(None, []),
    ):
        raise AssertionError("it must not be ready")


def test_the_search_finds_the_rate_that_a_side_can_bear() -> None:
    limits = {"quick": 80.0, "slow": 10.0}

    def run_of(name: str) -> Callable[[Poisson], Outcome]:
        def run(order: Poisson) -> Outcome:
            latency_s = 0.05 if order.rate_hz <= limits[name] else 0.5
            summary = Summary.of(Histogram([nanoseconds(latency_s)] * 100))
            quiet = Summary.of(Histogram([1]))
            return Outcome(
                sent=100,
                answered=100,
                seconds=1.0,
                rate_hz=order.rate_hz,
                latency_ms=summary,
                lag_ms=quiet,
                statuses={"ok": 100},
                cpu_s=0.0,
            )

        return run

    searches = highest(
        {name: run_of(name) for name in limits},
        {"quick": 100.0, "slow": 100.0},
        objective_ms=100,
        steps=7,
        progress=lambda _: None,
    )
    for name, limit in limits.items():
        assert limit - 100 / 2**7 <= searches[name].low <= limit
        assert len(searches[name].points) == 7


def test_an_answer_is_seen_when_it_comes_and_not_when_the_poll_ends() -> None:
    class Client:
        def __init__(self, *records: str) -> None:
            self.records = list(records)

        def poll(self, timeout: float) -> str | None:
            assert timeout == POLL_S
            return self.records.pop(0) if self.records else None

        def consume(self, count: int, timeout: float) -> list[str]:
            assert timeout == 0  # it would wait for all `count`
            taken, self.records = self.records[:count], self.records[count:]
            return taken

    assert next_records(cast(Any, Client())) == []
    found: list[Any] = list(next_records(cast(Any, Client("a", "b", "c"))))
    assert found == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("change", "words"),
    [({"answered": 8}, "2 of 10 frames"), ({"statuses": {"dead-letter": 1}}, "1 frames became")],
)
def test_a_load_that_loses_a_frame_ends_the_run(change: dict[str, Any], words: str) -> None:
    quiet = Summary.of(Histogram([1]))
    whole: dict[str, Any] = {"sent": 10, "answered": 10, "seconds": 1.0, "rate_hz": 10.0}
    whole |= {"latency_ms": quiet, "lag_ms": quiet, "statuses": {"ok": 10}, "cpu_s": 0.0}

    class Given:
        def run(self, _: object) -> Outcome:
            return Outcome(**(whole | change))

    side = Side(cast(Any, Given()), [], Settings())
    with pytest.raises(TargetFailed, match=words):
        side.run(Backlog(1, 1.0, 0.0, 100))
