"""A candidate beside the model that serves: on a share of its frames, compared, never published."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from engine.batches import Segmentation, Segmented
from engine.errors import DependencyAway, EngineError
from engine.messages import FrameMessage
from engine.serving import Candidate, LabelDifference, ShadowComparison, record_id

log = logging.getLogger(__name__)

WAITING = 8  # frames; what does not fit is dropped and counted
FIRST_S = 1.0
AGAIN_MAX_S = 30.0


class CandidateModel(Protocol):
    """A version of a model, as `engine.infer.TritonModel` is one."""

    async def infer(self, images: Sequence[np.ndarray]) -> Sequence[Segmentation]:
        """Segment a batch; raise `ModelUnavailable` or `FrameError`."""

    async def close(self) -> None:
        """Give everything back."""


class _Frame(NamedTuple):
    frame_id: str
    series: str
    served: Segmented


Publish = Callable[[ShadowComparison, str], Awaitable[None]]


class Shadow:
    """Runs a candidate one frame at a time behind a short queue.

    Nothing that serves waits for it or sees its errors. `open_model` makes the client of a version;
    `publish` sends one comparison, under its series' key, and raises `BrokerUnavailable`.
    """

    def __init__(self, open_model: Callable[[str], CandidateModel], publish: Publish) -> None:
        self._open_model = open_model
        self._publish = publish
        self._candidate: Candidate | None = None
        self._frames: asyncio.Queue[_Frame] = asyncio.Queue(WAITING)
        self._task: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()  # those that are ending, too
        self._dropped = 0
        self._failed = 0

    def set(self, candidate: Candidate | None) -> None:
        """Begin with another candidate, or end with None; the same one goes on."""
        if candidate == self._candidate:
            return
        self._end()
        self._candidate = candidate
        self._frames = asyncio.Queue(WAITING)
        self._dropped = self._failed = 0
        if candidate is not None:
            self._task = asyncio.create_task(self._run(candidate, self._frames), name="shadow")
            self._tasks.add(self._task)
            self._task.add_done_callback(self._tasks.discard)

    def offer(self, message: FrameMessage, served: Segmented) -> None:
        """Take a frame that was answered, if it is of the share; returns at once, raises nothing.

        Which frames these are depends on their ids alone, so every run takes the same.
        """
        candidate = self._candidate
        if candidate is None or served.model.version == candidate.version:
            return
        if not is_chosen(message.id, candidate.share):
            return
        try:
            self._frames.put_nowait(_Frame(message.id, message.info.series_instance_uid, served))
        except asyncio.QueueFull:
            self._dropped += 1

    async def close(self) -> None:
        """End; comparisons that wait are forgotten."""
        self._end()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _end(self) -> None:
        """Cancel once: a second time would stop what gives the candidate's memory back."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()

    async def _run(self, candidate: Candidate, frames: asyncio.Queue[_Frame]) -> None:
        model = self._open_model(candidate.version)
        delay_s = FIRST_S
        try:
            while True:
                frame = await frames.get()
                try:
                    comparison = await self._compare(model, frame)
                    await self._publish(comparison, frame.series)
                    self._dropped -= comparison.dropped
                    self._failed -= comparison.failed
                    delay_s = FIRST_S
                except Exception as error:  # never the frame's affair: it has been answered
                    self._failed += 1
                    _tell(candidate, frame, error)
                    if not isinstance(error, EngineError) or isinstance(error, DependencyAway):
                        await asyncio.sleep(delay_s)
                        delay_s = min(2 * delay_s, AGAIN_MAX_S)
        finally:
            await model.close()

    async def _compare(self, model: CandidateModel, frame: _Frame) -> ShadowComparison:
        start_s = time.monotonic()
        (answer,) = await model.infer([frame.served.image])
        infer_ms = (time.monotonic() - start_s) * 1e3
        served = frame.served.model
        return ShadowComparison(
            id=record_id(frame.frame_id, served.digest, answer.model.version, answer.model.digest),
            frame_id=frame.frame_id,
            served=served,
            candidate=answer.model,
            labels=differences(frame.served, answer),
            infer_ms=round(infer_ms, 4),
            dropped=self._dropped,
            failed=self._failed,
            at_ns=time.time_ns(),
        )


def is_chosen(frame_id: str, share: float) -> bool:
    """True for this share of all ids, the same ones each time."""
    digest = hashlib.sha256(b"shadow\n" + frame_id.encode()).digest()
    return int.from_bytes(digest[:8], "big") < share * 2**64


def differences(served: Segmented, answer: Segmentation) -> list[LabelDifference]:
    """Compare two answers in the labels that both know, whatever their numbers."""
    found = []
    for number, label in enumerate(served.labels, 1):
        if label not in answer.labels:
            continue
        other = answer.labels.index(label) + 1
        confidence = (served.confidence[number - 1], answer.confidence[other - 1])
        same = dice(served.mask == number, answer.mask == other)
        found.append(LabelDifference(label=label, dice=same, confidence=confidence))
    return found


def dice(one: np.ndarray, other: np.ndarray) -> float:
    """Return twice the common share of two boolean masks; 1 where both are empty."""
    sizes = int(np.count_nonzero(one)) + int(np.count_nonzero(other))
    return 2 * int(np.count_nonzero(one & other)) / sizes if sizes else 1.0


def _tell(candidate: Candidate, frame: _Frame, error: Exception) -> None:
    why = str(error) if isinstance(error, EngineError) else type(error).__name__
    name = frame.served.model.name
    log.warning("shadow: model %s version %s: %s", name, candidate.version, why)
