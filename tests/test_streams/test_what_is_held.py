"""What a worker can be asked from outside: the age of what it holds, and whether it waits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest
from rig import FakeRecord, Rig, frame_message, result_of

from engine.errors import DecodeFailed, ModelUnavailable
from engine.messages import DeadLetter, FrameMessage, Result
from streams.hold import Hold


def accepted(offset: int, accepted_ns: int) -> FakeRecord:
    message = msgspec.structs.replace(frame_message(offset + 1), accepted_ns=accepted_ns)
    _, value, headers = message.to_kafka()
    return FakeRecord(offset, value, headers)


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async def process(message: FrameMessage) -> Result:
        return result_of(message)

    made = Rig(process)
    yield made
    await made.worker.close()


async def test_the_oldest_frame_is_the_lowest_that_is_not_acknowledged(rig: Rig) -> None:
    gates = [asyncio.Event() for _ in range(3)]

    async def process(message: FrameMessage) -> Result:
        await gates[message.info.frame_number - 1].wait()
        return result_of(message)

    rig.process = process
    assert rig.worker.oldest_ns() is None
    for offset, accepted_ns in enumerate((100, 200, 300)):
        await rig.take(accepted(offset, accepted_ns))
    other = accepted(1, 50)
    other.partition = 1
    await rig.take(other)
    assert rig.worker.oldest_ns() == 50, "of all partitions"
    gates[1].set()
    await rig.until_acknowledged(1)
    assert rig.worker.oldest_ns() == 100, "done and not released is not acknowledged"
    gates[0].set()
    await rig.until_acknowledged(3)
    assert rig.worker.oldest_ns() == 300
    gates[2].set()
    await rig.until_acknowledged(4)
    await rig.worker.close()
    assert rig.worker.oldest_ns() is None


async def test_what_is_no_frame_is_as_old_as_its_taking(rig: Rig) -> None:
    rig.publish_errors.extend(ModelUnavailable("away") for _ in range(3))
    await rig.take(FakeRecord(0, b"junk", None))
    assert (rig.worker.oldest_ns() or 0) > 1_700_000_000_000_000_000
    await rig.until_acknowledged(1)


async def test_it_holds_while_a_server_is_away() -> None:
    hold = Hold(first_s=0.001, max_s=0.002)
    assert not hold.holding
    hold.close(ModelUnavailable("away"))
    assert hold.holding
    await hold.passed()
    assert not hold.holding


async def test_a_dead_letter_carries_its_frames_trace_and_age(rig: Rig) -> None:
    async def process(message: FrameMessage) -> Result:
        raise DecodeFailed("the codestream ends early")

    rig.process = process
    await rig.take(accepted(0, 123))
    await rig.take(FakeRecord(1, b"junk", None))
    await rig.until_acknowledged(2)
    frame, junk = rig.published
    assert isinstance(frame, DeadLetter)
    assert isinstance(junk, DeadLetter)
    assert (frame.accepted_ns, frame.traceparent) == (123, frame_message(1).traceparent)
    assert (junk.accepted_ns, junk.traceparent) == (None, "")
