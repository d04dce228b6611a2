"""A worker that stalls for 50 ms: an open loop shows it at p99, a closed loop hides it.

The generator is the real one, on a clock that only this test moves, so that the figures are exact
on any machine. `test_run_stack.py` stops a real worker.
"""

from __future__ import annotations

import heapq
from types import SimpleNamespace

import numpy as np
import pytest

from engine.messages import FrameMessage
from perf.baselines import decode as codecs
from perf.load import generator as module
from perf.load import schedule
from perf.load.frames import Frames
from perf.load.generator import Generator
from perf.load.target import Answer, Answered

STALL_S, EVERY_S, SERVICE_S = 0.05, 1.0, 0.005
RATE_HZ, SECONDS = 100.0, 10.0


class Clock:
    """Time, and one worker in it: 5 ms a frame, in turn, and nothing for 50 ms of every second."""

    def __init__(self) -> None:
        self.now_s, self._free_s = 100.0, 100.0
        self._answers: list[tuple[float, str]] = []

    def start(self, answered: Answered) -> None:
        self._answered = answered

    def send(self, frame: FrameMessage) -> None:
        begun_s = max(self.now_s, self._free_s)
        if (into_s := begun_s % EVERY_S) < STALL_S:
            begun_s += STALL_S - into_s
        self._free_s = begun_s + SERVICE_S
        heapq.heappush(self._answers, (self._free_s, frame.id))

    def close(self) -> None:
        """Nothing is open."""

    def monotonic(self) -> float:
        return self.now_s

    def process_time(self) -> float:
        return self.now_s

    def time_ns(self) -> int:
        return round(self.now_s * 1e9)

    def sleep(self, seconds: float) -> None:
        end_s = self.now_s + seconds
        while self._answers and self._answers[0][0] <= end_s:
            self._next()
        self.now_s = end_s

    def wait(self, timeout_s: float) -> None:
        """Wait as an event does that every answer sets."""
        if self._answers and self._answers[0][0] <= self.now_s + timeout_s:
            self._next()
        else:
            self.now_s += timeout_s

    def set(self) -> None:
        """An answer has come: `wait` has returned."""

    clear = set

    def _next(self) -> None:
        self.now_s, name = heapq.heappop(self._answers)
        self._answered(Answer(name, self.now_s, "ok", b"{}"))


@pytest.fixture
def generator(monkeypatch: pytest.MonkeyPatch) -> Generator:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(module, "threading", SimpleNamespace(Event=lambda: clock))
    sample = codecs.message(np.zeros((8, 8), np.uint16), codecs.NATIVE)
    return Generator(clock, Frames([sample]))


def test_an_open_loop_shows_the_stall_and_a_closed_one_hides_it(generator: Generator) -> None:
    arrivals = schedule.until(schedule.constant(RATE_HZ), SECONDS)
    opened = generator.open_loop(arrivals, budget_ms=100).latency_ms
    closed = generator.backlog(outstanding=1, seconds=SECONDS, warm_s=0.0, budget_ms=100).latency_ms
    assert opened.count == RATE_HZ * SECONDS
    assert closed.count > 1.9 * opened.count
    # both met the stalls
    assert min(opened.max, closed.max) >= 1e3 * STALL_S
    # six or more frames of each hundred were due while nothing was done, or waited behind those
    assert opened.p90 < 2e3 * SERVICE_S
    assert opened.p99 >= 0.9e3 * STALL_S
    # one frame a stall, of two hundred: p99 says that nothing was wrong
    assert closed.p99 == pytest.approx(1e3 * SERVICE_S, rel=0.01)
