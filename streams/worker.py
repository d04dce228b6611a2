"""What the worker does with one record: three tries for the frame, patience for a dependency."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
import traceback
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Protocol

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
    ) -> None:
        self._process = process
        self._publish = publish
        self._generation = generation
        self._budget = budget
        self._hold = hold
        self._tries = tries
        self._partitions: dict[TP, Partition] = {}
        self._ended: int | None = None  # the generation whose partitions were revoked

    async def take(self, record: Record, acknowledge: Callable[[], object]) -> None:
        """Start on one record; waits while a dependency is away or the budget is spent."""
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
            record.offset, size, lambda: self._outcome(record, message), acknowledge_if_current
        )
        if self._is_stale(record) or not self._partition(record).start(job):
            await self._budget.release(size)

    def assigned(self) -> None:
        """Note that a new generation has begun, after `revoke` of the one before."""
        self._ended = None

    async def revoke(self, partitions: Iterable[TP]) -> None:
        """Cancel and forget the work on partitions that this worker no longer owns."""
        self._ended = self._generation()
        gone = [self._partitions.pop(tp) for tp in partitions if tp in self._partitions]
        await asyncio.gather(*(partition.forget() for partition in gone))

    async def close(self) -> None:
        """Forget everything; what was not acknowledged comes again to the next worker."""
        await self.revoke(list(self._partitions))

    def _is_stale(self, record: Record) -> bool:
        """Return whether a record comes again, to this worker or another.

        Between a revocation and the next assignment Faust's generation is still the old one. A
        record that waited for room in the budget is let in by that very revocation; started then,
        it would be published before the frames that were just forgotten.
        """
        return record.generation_id != self._generation() or record.generation_id == self._ended

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
            return _dead_letter(record, None, message.reason, str(message), tries=1)
        tries = 0
        while True:
            await self._hold.passed()
            try:
                result = await self._process(message)
            except DependencyAway as error:
                self._hold.close(error)  # not the frame's fault: not a try
                continue
            except FrameError as error:
                reason, text, final = error.reason, str(error), not error.retryable
            except Exception as error:  # a defect of ours costs this frame, never the partition
                reason, text, final = "internal-error", _without_values(error), False
            else:
                self._hold.worked()
                return result
            tries += 1
            if final or tries >= self._tries:
                return _dead_letter(record, message, reason, text, tries=tries)


def _read(record: Record) -> FrameMessage | BadMessage:
    try:
        return FrameMessage.from_kafka(record.value, record.headers)
    except BadMessage as error:
        return error


def _size(record: Record, message: FrameMessage | BadMessage) -> int:
    """Return the bytes that the frame will hold while it is in flight: encoded and decoded."""
    encoded = len(record.value or b"")
    if isinstance(message, BadMessage):
        return encoded
    info = message.info
    decoded = info.rows * info.columns * info.samples_per_pixel * ((info.bits_allocated + 7) // 8)
    return decoded + (message.claim.length if message.claim else encoded)


def _without_values(error: Exception) -> str:
    """Log where an unexpected error arose; its text could quote data, so it goes nowhere."""
    places = "".join(traceback.format_tb(error.__traceback__))
    log.error("an unexpected %s in processing, from:\n%s", type(error).__name__, places)
    return f"an unexpected {type(error).__name__}: the worker's log has its place"


def _dead_letter(
    record: Record, message: FrameMessage | None, reason: str, text: str, *, tries: int
) -> DeadLetter:
    """Return the dead letter of a record, with the frame's reference where it could be read."""
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
        failed_ns=time.time_ns(),
    )
