"""Runs the batcher's decisions against one model: frames come singly, batches go to Triton."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from engine.batcher import Batcher, Taken
from engine.errors import DependencyAway
from engine.messages import ModelRef
from engine.novelty import Range


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
    def late(self) -> bool:
        """True where the budget had run out before the model began."""


class SegmentationModel(Protocol):
    """A served model, as `engine.infer.TritonModel` is one."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the label map's values, from 1."""

    @property
    def trained_range(self) -> Range | None:
        """What its training pictures looked like, None where it does not say."""

    async def infer(
        self, images: Sequence[np.ndarray], *, budget_ms: float | None = None
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


class Batches:
    """Gathers frames into batches for one model, at most `in_flight` batches at a time."""

    def __init__(
        self, model: SegmentationModel, *, max_batch: int, max_wait_s: float, in_flight: int
    ) -> None:
        self._model = model
        self._batcher: Batcher[_Waiting] = Batcher(max_batch=max_batch, max_wait_s=max_wait_s)
        self._free = asyncio.Semaphore(in_flight)
        self._changed = asyncio.Event()
        self._running: set[asyncio.Task[None]] = set()
        self._loop = asyncio.create_task(self._run(), name="batches")

    async def infer(self, image: np.ndarray, deadline_s: float) -> Segmented:
        """Return the segmentation of one image; `deadline_s` is Unix time in seconds."""
        now_s = time.monotonic()  # a clock that is set back must not stall a batch
        waiting = _Waiting(image, asyncio.get_running_loop().create_future(), now_s)
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
        while True:
            await self._until_due()
            await self._free.acquire()
            taken = self._batcher.take(time.monotonic())
            task = asyncio.create_task(self._infer(taken))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def _until_due(self) -> None:
        while not self._batcher.is_due(now_s := time.monotonic()):
            self._changed.clear()
            due_s = self._batcher.due_s()
            try:
                async with asyncio.timeout(None if due_s is None else due_s - now_s):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def _infer(self, taken: list[Taken[_Waiting]]) -> None:
        """Carry one batch to the model; every frame in it gets its answer or the error."""
        try:
            # A frame whose caller has gone (its partition was revoked) is not worth computing.
            taken = [one for one in taken if not one.item.done.done()]
            if taken:
                await self._answer(taken)
        finally:
            self._free.release()

    async def _answer(self, taken: list[Taken[_Waiting]]) -> None:
        """Answer every frame. What fails a batch may be one frame's fault: then each goes alone."""
        try:
            await self._carry(taken)
        except DependencyAway as error:
            _fail(taken, error)
        except Exception as error:  # handed to the caller, who knows the frame
            if len(taken) == 1:
                _fail(taken, error)
            else:
                for one in taken:
                    await self._answer([one])

    async def _carry(self, taken: list[Taken[_Waiting]]) -> None:
        start_s = time.monotonic()
        budget_ms = (max(one.deadline_s for one in taken) - start_s) * 1e3
        answers = await self._model.infer(
            [one.item.image for one in taken], budget_ms=budget_ms if budget_ms > 0 else None
        )
        infer_ms = (time.monotonic() - start_s) * 1e3
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
            labels=self._model.labels,
            model=answer.model,
            trained_range=self._model.trained_range,
            late=one.late or answer.late,
            waited_ms=waited_ms,
            infer_ms=infer_ms,
        )


def _fail(taken: list[Taken[_Waiting]], error: Exception) -> None:
    for one in taken:
        if not one.item.done.done():
            one.item.done.set_exception(error)
