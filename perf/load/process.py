"""The generator in a process of its own, so that it shares no interpreter with what is measured.

What it can be told to do is in `orders`.
"""

from __future__ import annotations

import multiprocessing
import os
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import tee
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, NamedTuple, Self

from engine.messages import FrameMessage
from perf.load.frames import SERIES, Frames, Pick
from perf.load.generator import Generator, Outcome
from perf.load.orders import (
    Backlog,
    Burst,
    Clocks,
    Constant,
    OpenLoop,
    Order,
    Poisson,
    Scanner,
    Together,
    Trace,
)
from perf.load.target import Null, Target, TargetFailed

__all__ = [
    "Backlog",
    "Burst",
    "Clocks",
    "Constant",
    "Loader",
    "OpenLoop",
    "Order",
    "Poisson",
    "Scanner",
    "Together",
    "Trace",
    "Where",
]

Samples = Sequence[FrameMessage] | Mapping[str, Sequence[FrameMessage]]
START_TIMEOUT_S, END_TIMEOUT_S = 120.0, 10.0
STOP_TIMEOUT_S = 120.0  # a target may take 60 s for its last frames
NICE = -5  # where that is allowed: the generator's punctuality is part of what is measured


class Where(NamedTuple):
    """Where a load goes: `target` is null, kafka, dicom or triton; addresses are host:port.

    Answers to kafka and dicom come from `broker`; triton needs no broker.
    """

    target: str
    broker: str = ""
    gateway: str = ""
    triton: str = ""
    model: str = "unet-lv"
    associations: int = 8
    ae_title: str = "SCANSTREAM"


class Failed(NamedTuple):
    """The process could not go on; `text` says why, by a traceback where nothing better does."""

    text: str


class Loader:
    """`with Loader(where, samples) as loader: loader.run(order)`.

    An address alone is that of a broker, and None is the null target. `samples` are frames, in
    groups by kind where orders ask for kinds. Raises `TargetFailed` with the process's own words
    when it fails.
    """

    def __init__(
        self, where: Where | str | None, samples: Samples, *, series: int = SERIES
    ) -> None:
        if not isinstance(where, Where):
            where = Where("kafka", broker=where) if where else Where("null")
        context = multiprocessing.get_context("spawn")  # threads of Kafka clients survive no fork
        self._here, there = context.Pipe()
        self._child = context.Process(
            target=_serve, args=(there, where, samples, series), daemon=True
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
        try:
            if error is None:  # frames that were refused are told only now
                self._answer(STOP_TIMEOUT_S)
        finally:
            self._child.join(END_TIMEOUT_S)
            self._end()

    def run(self, order: Order) -> Outcome:
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


def _serve(connection: Connection, where: Where, samples: Samples, series: int) -> None:
    """Connect, then carry out orders until None comes."""
    try:
        _hurry()
        frames = Frames(samples, series=series)
        generator = Generator(_target(where, frames.samples), frames)
        connection.send("ready")
        while (order := connection.recv()) is not None:
            connection.send(_run(generator, order))
        generator.close()
        connection.send("done")
    except TargetFailed as error:  # its text says what happened: no traceback
        connection.send(Failed(str(error)))
    except Exception:  # told to the parent, which ends the run with it
        connection.send(Failed(traceback.format_exc()))


def _target(where: Where, samples: Sequence[FrameMessage]) -> Target:
    """Return the target; only its own clients are imported, which take a second or more."""
    if where.target == "null":
        return Null()
    if where.target == "kafka":
        from perf.load.target_kafka import Kafka

        return Kafka(where.broker)
    if where.target == "dicom":
        from perf.load.target_dicom import Dicom

        return Dicom(
            where.gateway,
            where.broker,
            samples,
            associations=where.associations,
            ae_title=where.ae_title,
        )
    if where.target == "triton":
        from perf.load.target_triton import Triton

        return Triton(where.triton, where.model)
    raise TargetFailed(f"no target {where.target!r}: there are null, kafka, dicom and triton")


def _hurry() -> None:
    try:
        os.nice(NICE)
    except OSError:
        return  # an ordinary user may not; `lag_ms` tells whether it mattered


def _run(generator: Generator, order: Order) -> Outcome:
    if isinstance(order, Backlog):
        given = order._asdict()
        pick = Pick(given.pop("kind"), given.pop("lane"))
        return generator.backlog(pick=pick, **given)
    times, picks = tee(order.due())
    return generator.open_loop(
        (due.at_s for due in times),
        (due.pick for due in picks),
        budget_ms=order.budget_ms,
        drain_s=order.drain_s,
        keep=order.keep,
        most_under_way=order.most_under_way,
    )
