"""The generator in a process of its own, so that it shares no interpreter with what is measured."""

from __future__ import annotations

import multiprocessing
import os
import traceback
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, NamedTuple, Self

from engine.messages import FrameMessage
from perf.load import schedule
from perf.load.frames import SERIES, Frames
from perf.load.generator import Generator, Outcome
from perf.load.target import Kafka, Null, Target, TargetFailed

START_TIMEOUT_S, STOP_TIMEOUT_S = 120.0, 30.0
NICE = -5  # where that is allowed: the generator's punctuality is part of what is measured


class Poisson(NamedTuple):
    """An open loop of independent arrivals."""

    rate_hz: float
    seconds: float
    seed: int
    budget_ms: float
    drain_s: float = 10.0
    keep: bool = False
    most_under_way: int | None = None


class Backlog(NamedTuple):
    """A closed loop of `outstanding` frames: as fast as the target can."""

    outstanding: int
    seconds: float
    warm_s: float
    budget_ms: float
    drain_s: float = 30.0
    keep: bool = False


class Failed(NamedTuple):
    """The process could not go on; `text` is its traceback."""

    text: str


class Loader:
    """`with Loader(broker, messages) as loader: loader.run(order)`; no broker is the null target.

    Raises `TargetFailed` with the process's own words when it fails.
    """

    def __init__(
        self, broker: str | None, messages: Sequence[FrameMessage], *, series: int = SERIES
    ) -> None:
        context = multiprocessing.get_context("spawn")  # threads of Kafka clients survive no fork
        self._here, there = context.Pipe()
        self._child = context.Process(
            target=_serve, args=(there, broker, list(messages), series), daemon=True
        )
        self._there = there

    @property
    def pid(self) -> int | None:
        """Of the process."""
        return self._child.pid

    def __enter__(self) -> Self:
        self._child.start()
        self._there.close()
        try:
            self._answer(START_TIMEOUT_S)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with suppress(OSError):  # where it has ended already, what it said last says why
            self._here.send(None)
        self._child.join(STOP_TIMEOUT_S)
        try:
            if error is None and self._here.poll(0):
                self._answer(0)
        finally:
            self._end()

    def run(self, order: Poisson | Backlog) -> Outcome:
        """Carry out one run; return what it gave."""
        self._here.send(order)
        outcome = self._answer(3 * order.seconds + order.drain_s + 60.0)
        if not isinstance(outcome, Outcome):
            raise TargetFailed(f"the generator answered {type(outcome).__name__}")
        return outcome

    def _end(self) -> None:
        if self._child.is_alive():
            self._child.kill()
        self._child.join()
        self._here.close()

    def _answer(self, timeout_s: float) -> Any:
        if not self._here.poll(timeout_s):
            raise TargetFailed(f"the generator gave no answer in {timeout_s:.0f} s")
        try:
            answer = self._here.recv()
        except EOFError:
            raise TargetFailed("the generator ended without an answer") from None
        if isinstance(answer, Failed):
            raise TargetFailed(answer.text)
        return answer


def _serve(
    connection: Connection, broker: str | None, messages: list[FrameMessage], series: int
) -> None:
    """Connect, then carry out orders until None comes."""
    try:
        _hurry()
        target: Target = Kafka(broker) if broker else Null()
        generator = Generator(target, Frames(messages, series=series))
        connection.send("ready")
        while (order := connection.recv()) is not None:
            connection.send(_run(generator, order))
        generator.close()
        connection.send("done")
    except Exception:  # told to the parent, which ends the run with it
        connection.send(Failed(traceback.format_exc()))


def _hurry() -> None:
    try:
        os.nice(NICE)
    except OSError:
        return  # an ordinary user may not; `lag_ms` tells whether it mattered


def _run(generator: Generator, order: Poisson | Backlog) -> Outcome:
    if isinstance(order, Backlog):
        return generator.backlog(**order._asdict())
    given = order._asdict()
    arrivals = schedule.poisson(given.pop("rate_hz"), given.pop("seed"))
    return generator.open_loop(schedule.until(arrivals, given.pop("seconds")), **given)
