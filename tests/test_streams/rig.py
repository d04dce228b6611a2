"""A worker whose broker and pipeline are played by the test."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from engine.messages import FrameInfo, FrameMessage, FrameRef, Result, result_id
from streams.budget import Budget
from streams.hold import Hold
from streams.partition import Outcome
from streams.worker import FrameWorker


def frame_message(number: int) -> FrameMessage:
    info = FrameInfo(
        sop_class_uid="1.2.840.10008.5.1.4.1.1.4",
        sop_instance_uid="2.25.1",
        study_instance_uid="2.25.2",
        series_instance_uid="2.25.3",
        frame_number=number,
        number_of_frames=99,
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        rows=4,
        columns=4,
        bits_allocated=16,
        bits_stored=12,
        high_bit=11,
        photometric_interpretation="MONOCHROME2",
    )
    return FrameMessage(
        info=info,
        value=bytes(32),
        source="dicom:TEST",
        time="2026-01-01T00:00:00Z",
        traceparent="00-" + "1" * 32 + "-" + "1" * 16 + "-01",
        accepted_ns=0,
        deadline_ms=0,
    )


def result_of(message: FrameMessage) -> Result:
    return Result(
        id=result_id(message.id, "test"),
        frame=FrameRef.of(message),
        route="test",
        lane="bulk",
        status="ok",
        accepted_ns=0,
        deadline_ms=0,
        published_ns=0,
        traceparent=message.traceparent,
    )


@dataclass
class FakeRecord:
    offset: int
    value: bytes | None
    headers: Any
    generation_id: int = 1
    topic: str = "scanstream.frames"
    partition: int = 0
    key: bytes | None = b"2.25.3"


def record(offset: int) -> FakeRecord:
    _, value, headers = frame_message(offset + 1).to_kafka()
    return FakeRecord(offset, value, headers)


@dataclass
class Rig:
    """A worker with hooks, and what it published and acknowledged."""

    process: Callable[[FrameMessage], Awaitable[Result]]
    max_frames: int = 8
    generation: int = 1
    published: list[Outcome] = field(default_factory=list)
    acknowledged: list[int] = field(default_factory=list)
    publish_errors: list[Exception] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.budget = Budget(max_bytes=10_000, max_frames=self.max_frames)
        self.hold = Hold(first_s=0.001, max_s=0.002)
        self.worker = FrameWorker(
            lambda message: self.process(message),
            self.publish,
            generation=lambda: self.generation,
            budget=self.budget,
            hold=self.hold,
            tries=3,
            max_record_bytes=100_000,
        )

    async def publish(self, outcome: Outcome) -> None:
        if self.publish_errors:
            raise self.publish_errors.pop()
        self.published.append(outcome)

    async def take(self, one: FakeRecord) -> None:
        await self.worker.take(one, lambda: self._acknowledge(one.offset))

    def _acknowledge(self, offset: int) -> None:
        self.acknowledged.append(offset)
        self.changed.set()

    async def until_acknowledged(self, count: int) -> None:
        async with asyncio.timeout(5):
            while len(self.acknowledged) < count:
                self.changed.clear()
                await self.changed.wait()
