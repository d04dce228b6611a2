"""Runs the batcher's decisions against one model: frames come singly, batches go to Triton."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from engine.batcher import Batcher, Curve, Taken
from engine.errors import DependencyAway
from engine.messages import Lane, ModelRef
from engine.metrics import BatchTimes, FrameLink
from engine.novelty import Range

log = logging.getLogger(__name__)

NO_LINK = FrameLink("", "")


class Segmentation(Protocol):
    """What a model says of one image: a label map and a confidence for each label."""

    @property
    def mask(self) -> np.ndarray:
        """uint8 (rows, columns) on the model's grid; 0 is background."""

    @property
    def confidence(self) -> tuple[float, ...]:
        """One number in [0, 1] a label."""

    @property
    def model(self) -> ModelRef:
        """Name, version, digest and precision of what answered."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the label map's values, from 1."""

    @property
    def trained_range(self) -> Range | None:
        """What its training pictures looked like, None where it does not say."""

    @property
    def late(self) -> bool:
        """True where the budget had run out before the model began."""


class SegmentationModel(Protocol):
    """A served model, as `engine.infer.TritonModel` is one."""

    @property
    def instances(self) -> int:
        """How many batches are computed side by side."""

    @property
    def batch_s(self) -> Mapping[int, float]:
        """Seconds by batch size, as measured last; another object after every measurement."""

    async def measure(self) -> Mapping[int, float]:
        """Measure `batch_s`; raise as `infer` does."""

    async def infer(
        self,
        images: Sequence[np.ndarray],
        *,
        budget_ms: float | None = None,
        priority: Lane = "bulk",
    ) -> Sequence[Segmentation]:
        """Segment a batch; raise `ModelUnavailable` or `FrameError`."""


@dataclass(frozen=True, slots=True)
class Segmented:
    """One frame's segmentation, with the picture, the model that made it and the time it took."""

    image: np.ndarray
    mask: np.ndarray
    confidence: tuple[float, ...]
    labels: tuple[str, ...]
    model: ModelRef
    trained_range: Range | None
    late: bool
    waited_ms: float
    infer_ms: float


@dataclass(slots=True)
class _Waiting:
    image: np.ndarray
    done: asyncio.Future[Segmented]
    since_s: float
    lane: Lane
    link: FrameLink


@dataclass(slots=True)
class _Batch:
    taken: list[Taken[_Waiting]]
    began_s: float  # when an instance was free for it


class Batches:
    """Gathers frames into batches for one model, at most `in_flight` batches at a time.

    `by_deadline` decides by the model's measured latency: frames gather while all instances are
    busy, and one batch more is made ready for its turn only once it is full, and so cannot grow.
    Else the settings alone decide. `answered` is told of every batch.
    """

    def __init__(
        self,
        model: SegmentationModel,
        *,
        max_batch: int,
        max_wait_s: float,
        in_flight: int,
        by_deadline: bool = True,
        answered: Callable[[BatchTimes], None] = lambda _: None,
    ) -> None:
        self._model = model
        self._answered = answered
        self._in_flight = in_flight
        self._by_deadline = by_deadline
        self._batcher: Batcher[_Waiting] = Batcher(max_batch=max_batch, max_wait_s=max_wait_s)
        self._measured: Mapping[int, float] = {}
        self._changed = asyncio.Event()
        self._ahead: _Batch | None = None  # was sent while all instances were busy
        self._running: set[asyncio.Task[None]] = set()
        self._loop = asyncio.create_task(self._run(), name="batches")

    async def infer(
        self,
        image: np.ndarray,
        deadline_s: float,
        lane: Lane = "bulk",
        link: FrameLink = NO_LINK,
    ) -> Segmented:
        """Return the segmentation of one image; `deadline_s` is Unix time in seconds."""
        now_s = time.monotonic()  # a clock that is set back must not stall a batch
        waiting = _Waiting(image, asyncio.get_running_loop().create_future(), now_s, lane, link)
        left_s = deadline_s - time.time()
        self._batcher.add(waiting, deadline_s=now_s + left_s, now_s=now_s)
        self._changed.set()
        return await waiting.done

    async def close(self) -> None:
        """Cancel what is in flight."""
        tasks = [self._loop, *self._running]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self) -> None:
        await self._know_latency()  # now, not while a frame waits for it, which may be urgent
        while True:
            await self._until_due()
            await self._know_latency()
            now_s = time.monotonic()
            batch = _Batch(self._batcher.take(now_s), now_s)
            if len(self._running) >= self._model.instances:
                self._ahead = batch
            task = asyncio.create_task(self._infer(batch))
            self._running.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if self._ahead is not None:
            self._ahead.began_s = time.monotonic()
            self._ahead = None
        self._running.discard(task)
        self._changed.set()

    async def _until_due(self) -> None:
        while (due_s := self._due_s(now_s := time.monotonic())) is None or due_s > now_s:
            self._changed.clear()
            try:
                async with asyncio.timeout(None if due_s is None else due_s - now_s):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def _due_s(self, now_s: float) -> float | None:
        """Return when the next batch may go, None while something else must happen first."""
        running = len(self._running)
        if running >= self._in_flight:
            return None
        if not self._by_deadline or running < self._model.instances:
            return self._batcher.due_s()
        ahead = running == self._model.instances and self._batcher.is_ripe(now_s)
        return now_s if ahead else None

    async def _know_latency(self) -> None:
        """Let the batcher decide by what the model has measured, at first and after a pin."""
        if not self._by_deadline:
            return
        if not self._model.batch_s:
            try:
                await self._model.measure()
            except Exception as error:  # the batch itself meets it too, and tells its frames
                log.warning("the model's latency is not measured yet: %s", type(error).__name__)
        if self._measured is not self._model.batch_s:
            self._measured = self._model.batch_s
            self._batcher.curve = Curve(self._measured)

    async def _infer(self, batch: _Batch) -> None:
        """Carry one batch to the model; every frame in it gets its answer or the error."""
        # A frame whose caller has gone (its partition was revoked) is not worth computing.
        batch.taken = [one for one in batch.taken if not one.item.done.done()]
        if batch.taken:
            await self._answer(batch)

    async def _answer(self, batch: _Batch) -> None:
        """Answer every frame. What fails a batch may be one frame's fault: then each goes alone."""
        try:
            await self._carry(batch)
        except DependencyAway as error:
            _fail(batch.taken, error)
        except Exception as error:  # handed to the caller, who knows the frame
            if len(batch.taken) == 1:
                _fail(batch.taken, error)
            else:
                for one in batch.taken:
                    await self._answer(_Batch([one], time.monotonic()))

    async def _carry(self, batch: _Batch) -> None:
        taken, start_s = batch.taken, time.monotonic()
        budget_ms = (max(one.deadline_s for one in taken) - start_s) * 1e3
        answers = await self._model.infer(
            [one.item.image for one in taken],
            budget_ms=budget_ms if budget_ms > 0 else None,
            priority="stat" if any(one.item.lane == "stat" for one in taken) else "bulk",
        )
        end_s = time.monotonic()
        infer_ms = (end_s - start_s) * 1e3
        ended_ns = time.time_ns()
        links = tuple(one.item.link for one in taken)
        began_ns = ended_ns - round(infer_ms * 1e6)
        self._answered(BatchTimes(answers[0].model.name, links, began_ns, ended_ns))
        if self._batcher.curve is not None and batch is not self._ahead:
            self._batcher.curve.observe(len(taken), end_s - batch.began_s)
        for one, answer in zip(taken, answers, strict=True):
            if not one.item.done.done():
                waited_ms = (start_s - one.item.since_s) * 1e3
                one.item.done.set_result(self._segmented(one, answer, waited_ms, infer_ms))

    def _segmented(
        self, one: Taken[_Waiting], answer: Segmentation, waited_ms: float, infer_ms: float
    ) -> Segmented:
        return Segmented(
            image=one.item.image,
            mask=answer.mask,
            confidence=answer.confidence,
            labels=answer.labels,
            model=answer.model,
            trained_range=answer.trained_range,
            late=one.late or answer.late,
            waited_ms=waited_ms,
            infer_ms=infer_ms,
        )


def _fail(taken: list[Taken[_Waiting]], error: Exception) -> None:
    for one in taken:
        if not one.item.done.done():
            one.item.done.set_exception(error)
