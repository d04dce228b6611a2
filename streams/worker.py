"""What the worker does with one record: three tries for the frame, patience for a dependency."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
import traceback
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, NamedTuple, Protocol

from engine.errors import BadMessage, DependencyAway, FrameError
from engine.messages import DeadLetter, FrameMessage, FrameRef, Result
from streams.budget import Budget
from streams.hold import Hold
from streams.partition import Job, Outcome, Partition

log = logging.getLogger(__name__)


class Record(Protocol):
    """A record of a frames topic, as Faust's `Message` is one."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Any
    generation_id: int


class Process(Protocol):
    """What computes a frame's result: `engine.pipeline.Pipeline.process`."""

    def __call__(self, message: FrameMessage) -> Awaitable[Result]:
        """Return the result; raise `FrameError` or `DependencyAway`."""


TP = tuple[str, int]
RUN_BYTES = 11  # a run of at most 65535 x 65535 pixels, and a comma
RECORD_ROOM = 64 * 1024  # everything in a result but its masks


class _Failure(NamedTuple):
    """Why one try failed; `final` when another would fail too."""

    reason: str
    text: str
    final: bool

    @classmethod
    def of(cls, error: FrameError) -> _Failure:
        return cls(error.reason, str(error), final=not error.retryable)


class FrameWorker:
    """Takes records, has them processed within a budget, and releases their outcomes in order.

    `publish` sends one outcome and returns once the broker has confirmed it, or raises
    `DependencyAway`; `generation` returns the consumer group's generation as it is now.
    """

    def __init__(
        self,
        process: Process,
        publish: Callable[[Outcome], Awaitable[None]],
        *,
        generation: Callable[[], int],
        budget: Budget,
        hold: Hold,
        tries: int,
        max_record_bytes: int,
    ) -> None:
        self._process = process
        self._publish = publish
        self._generation = generation
        self._budget = budget
        self._hold = hold
        self._tries = tries
        self._max_record_bytes = max_record_bytes
        self._partitions: dict[TP, Partition] = {}
        self._revocations = 0

    async def take(self, record: Record, acknowledge: Callable[[], object]) -> None:
        """Start on one record; waits while a dependency is away or the budget is spent."""
        revocations = self._revocations
        await self._hold.passed()
        message = _read(record)
        size = _size(record, message)
        await self._budget.acquire(size)

        def acknowledge_if_current() -> bool:
            current = record.generation_id == self._generation()
            if current:
                acknowledge()
            return current

        job = Job(
            record.offset,
            size,
            lambda: self._outcome(record, message),
            acknowledge_if_current,
            since_ns=_accepted_ns(message),
        )
        # A record that waited across a revocation comes again, to this worker or another. It may
        # have been let in by that very revocation, which gives the budget back; started now, it
        # would be published and acknowledged before the frames that were just forgotten. The
        # generation alone does not tell: Faust's is still the old one until the next assignment.
        stale = revocations != self._revocations or record.generation_id != self._generation()
        if stale or not self._partition(record).start(job):
            await self._budget.release(size)

    def oldest_ns(self) -> int | None:
        """When the oldest frame that is not acknowledged was accepted; any thread may ask."""
        oldest = [one.oldest_ns for one in list(self._partitions.values())]
        return min((since_ns for since_ns in oldest if since_ns is not None), default=None)

    async def revoke(self, partitions: Iterable[TP]) -> None:
        """Cancel and forget the work on partitions that this worker no longer owns."""
        self._revocations += 1
        gone = [self._partitions.pop(tp) for tp in partitions if tp in self._partitions]
        await asyncio.gather(*(partition.forget() for partition in gone))

    async def close(self) -> None:
        """Forget everything; what was not acknowledged comes again to the next worker."""
        await self.revoke(list(self._partitions))

    def _partition(self, record: Record) -> Partition:
        tp = (record.topic, record.partition)
        if tp not in self._partitions:
            self._partitions[tp] = Partition(self._publish_patiently, self._budget)
        return self._partitions[tp]

    async def _publish_patiently(self, outcome: Outcome) -> None:
        while True:
            await self._hold.passed()
            try:
                await self._publish(outcome)
                return
            except DependencyAway as error:
                self._hold.close(error)

    async def _outcome(self, record: Record, message: FrameMessage | BadMessage) -> Outcome:
        """Return a result, or after the last try a dead letter; raises nothing."""
        if isinstance(message, BadMessage):
            return _dead_letter(record, None, _Failure.of(message), tries=1)
        tries = 0
        while True:
            await self._hold.passed()
            try:
                tried = await self._try(message)
            except DependencyAway as error:
                self._hold.close(error)  # not the frame's fault: not a try
                continue
            if isinstance(tried, Result):
                return tried
            tries += 1
            if tried.final or tries >= self._tries:
                return _dead_letter(record, message, tried, tries=tries)

    async def _try(self, message: FrameMessage) -> Result | _Failure:
        """Process the frame once; raises only `DependencyAway`."""
        try:
            result = await self._process(message)
        except DependencyAway:
            raise
        except FrameError as error:
            return _Failure.of(error)
        except Exception as error:  # a defect of ours costs this frame, never the partition
            return _Failure("internal-error", _without_values(error), final=False)
        self._hold.worked()
        if _bound(result) > self._max_record_bytes:
            return _Failure("result-too-large", "its masks have too many runs", final=True)
        return result


def _read(record: Record) -> FrameMessage | BadMessage:
    """Return the frame, or why it is none; whatever the record holds, this does not raise."""
    try:
        return FrameMessage.from_kafka(record.value, record.headers)
    except BadMessage as error:
        return error
    except Exception as error:  # a reader that fails must not stop the partition
        return BadMessage(_without_values(error))


def _accepted_ns(message: FrameMessage | BadMessage) -> int:
    """Return when the frame was accepted; what is no frame is as old as our taking it."""
    return time.time_ns() if isinstance(message, BadMessage) else message.accepted_ns


def _size(record: Record, message: FrameMessage | BadMessage) -> int:
    """Return the bytes that the frame will hold while it is in flight: encoded and decoded."""
    encoded = len(record.value or b"")
    if isinstance(message, BadMessage):
        return encoded
    info = message.info
    decoded = info.rows * info.columns * info.samples_per_pixel * ((info.bits_allocated + 7) // 8)
    return decoded + (message.claim.length if message.claim else encoded)


def _bound(result: Result) -> int:
    """Return how many bytes a result can have at most: no broker takes one that is too large."""
    return RECORD_ROOM + RUN_BYTES * sum(len(mask.counts) for mask in result.masks)


def _without_values(error: Exception) -> str:
    """Log where an unexpected error arose; its text could quote data, so it goes nowhere."""
    places = "".join(traceback.format_tb(error.__traceback__))
    log.error("an unexpected %s in processing, from:\n%s", type(error).__name__, places)
    return f"an unexpected {type(error).__name__}: the worker's log has its place"


def _dead_letter(
    record: Record, message: FrameMessage | None, failure: _Failure, *, tries: int
) -> DeadLetter:
    """Return the dead letter of a record, with the frame's reference where it could be read."""
    reason, text, _ = failure
    where = f"{record.topic}/{record.partition}/{record.offset}"
    log.warning("dead letter at %s after try %d: %s: %s", where, tries, reason, text)
    name = message.id if message else where
    return DeadLetter(
        id=hashlib.sha256(f"dead-letter\n{name}".encode()).hexdigest()[:32],
        frame=FrameRef.of(message) if message else None,
        reason=reason,
        message=text,
        tries=tries,
        claim=message.claim if message else None,
        source_topic=record.topic,
        source_partition=record.partition,
        source_offset=record.offset,
        accepted_ns=message.accepted_ns if message else None,
        failed_ns=time.time_ns(),
        traceparent=message.traceparent if message else "",
    )
