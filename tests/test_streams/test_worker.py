"""The worker's promises, with the broker and the pipeline played by the test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from rig import FakeRecord, Rig, record, result_of

from engine.errors import BrokerUnavailable, DecodeFailed, ModelUnavailable
from engine.messages import DeadLetter, FrameMessage, Mask, Result
from streams.budget import Budget


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async def process(message: FrameMessage) -> Result:
        return result_of(message)

    made = Rig(process)
    yield made
    await made.worker.close()


async def test_outcomes_are_released_in_offset_order(rig: Rig) -> None:
    gates = [asyncio.Event() for _ in range(3)]

    async def process(message: FrameMessage) -> Result:
        await gates[message.info.frame_number - 1].wait()
        return result_of(message)

    rig.process = process
    for offset in range(3):
        await rig.take(record(offset))
    for gate in reversed(gates):
        gate.set()
    await rig.until_acknowledged(3)
    assert rig.acknowledged == [0, 1, 2]
    assert [one.frame.frame_number for one in rig.published if one.frame] == [1, 2, 3]


async def test_a_frame_that_fails_three_times_is_a_dead_letter(rig: Rig) -> None:
    tries = []

    async def process(message: FrameMessage) -> Result:
        tries.append(1)
        raise DecodeFailed("the codestream ends early")

    rig.process = process
    await rig.take(record(0))
    await rig.until_acknowledged(1)
    letter = rig.published[0]
    assert isinstance(letter, DeadLetter)
    assert (letter.reason, letter.tries, len(tries)) == ("decode-failed", 3, 3)
    assert letter.frame is not None
    assert letter.frame.id == "2.25.1/1"


async def test_a_defect_of_ours_costs_one_frame_and_quotes_nothing(rig: Rig) -> None:
    async def process(message: FrameMessage) -> Result:
        if message.info.frame_number == 1:
            raise RuntimeError("Doe^Jane")
        return result_of(message)

    rig.process = process
    await rig.take(record(0))
    await rig.take(record(1))
    await rig.until_acknowledged(2)
    letter, result = rig.published
    assert isinstance(letter, DeadLetter)
    assert letter.reason == "internal-error"
    assert b"Doe" not in msgspec.json.encode(letter)
    assert isinstance(result, Result)


@pytest.mark.parametrize(
    ("value", "headers"),
    [
        (b"hello", [("content-type", b"text/plain")]),
        (None, []),
        (b"", None),
        (b"x", [("ce_type", b"scanstream.frame.v1"), ("x-frame", b"\xff\x00")]),
        (b"x", [("ce_type", b"scanstream.frame.v1"), ("x-frame", b'{"rows": "many"}')]),
    ],
    ids=["text", "empty", "no headers", "broken x-frame", "wrong x-frame"],
)
async def test_n7_what_is_no_frame_is_a_dead_letter_at_once(
    rig: Rig, value: bytes | None, headers: Any
) -> None:
    await rig.take(FakeRecord(0, value, headers))
    await rig.take(record(1))
    await rig.until_acknowledged(2)
    letter, result = rig.published
    assert isinstance(letter, DeadLetter)
    assert (letter.reason, letter.tries, letter.frame) == ("bad-message", 1, None)
    assert isinstance(result, Result)


async def test_n7_a_header_without_a_value_is_a_dead_letter(rig: Rig) -> None:
    one = record(0)
    one.headers = [(name, None if name == "x-frame" else raw) for name, raw in one.headers]
    await rig.take(one)
    await rig.take(record(1))
    await rig.until_acknowledged(2)
    assert isinstance(rig.published[0], DeadLetter)
    assert isinstance(rig.published[1], Result)


async def test_a_result_that_no_broker_would_take_is_a_dead_letter(rig: Rig) -> None:
    async def process(message: FrameMessage) -> Result:
        mask = Mask(label="x", size=(100, 100), counts=[1] * 10_000)
        return msgspec.structs.replace(result_of(message), masks=[mask])

    rig.process = process
    await rig.take(record(0))
    await rig.until_acknowledged(1)
    letter = rig.published[0]
    assert isinstance(letter, DeadLetter)
    assert (letter.reason, letter.tries) == ("result-too-large", 1)


async def test_a_dependency_away_is_not_a_try(rig: Rig) -> None:
    failures = [ModelUnavailable("Triton is away")] * 7

    async def process(message: FrameMessage) -> Result:
        if failures:
            raise failures.pop()
        return result_of(message)

    rig.process = process
    await rig.take(record(0))
    await rig.until_acknowledged(1)
    assert isinstance(rig.published[0], Result)


async def test_nothing_is_acknowledged_before_the_broker_confirms(rig: Rig) -> None:
    rig.publish_errors = [BrokerUnavailable("no answer")] * 3
    await rig.take(record(0))
    await rig.until_acknowledged(1)
    assert rig.publish_errors == []
    assert len(rig.published) == 1


async def test_an_old_generation_acknowledges_nothing(rig: Rig) -> None:
    gate = asyncio.Event()

    async def process(message: FrameMessage) -> Result:
        await gate.wait()
        return result_of(message)

    rig.process = process
    await rig.take(record(0))
    rig.generation = 2
    stale = record(1)
    await rig.take(stale)  # fetched before the rebalance: dropped, it comes again
    gate.set()
    fresh = record(0)
    fresh.generation_id = 2
    await rig.worker.revoke([("scanstream.frames", 0)])
    await rig.take(fresh)
    await rig.until_acknowledged(1)
    assert rig.acknowledged == [0]


async def test_a_record_that_waited_for_room_is_not_let_in_by_the_revocation(rig: Rig) -> None:
    """Else it is published before the frames that were forgotten, and blocks its partition."""
    gate = asyncio.Event()

    async def process(message: FrameMessage) -> Result:
        await gate.wait()
        return result_of(message)

    rig.process = process
    for offset in range(8):
        await rig.take(record(offset))
    ninth = asyncio.create_task(rig.take(record(8)))
    await asyncio.sleep(0)
    await rig.worker.revoke([("scanstream.frames", 0)])
    await ninth
    rig.generation = 2
    gate.set()
    for offset in range(9):
        again = record(offset)
        again.generation_id = 2
        await rig.take(again)
    await rig.until_acknowledged(9)
    assert rig.acknowledged == list(range(9))
    assert [one.frame.frame_number for one in rig.published if one.frame] == list(range(1, 10))


async def test_revoking_gives_the_budget_back(rig: Rig) -> None:
    async def process(message: FrameMessage) -> Result:
        await asyncio.Event().wait()
        raise AssertionError

    rig.process = process
    for offset in range(5):
        await rig.take(record(offset))
    assert rig.budget.frames == 5
    await rig.worker.revoke([("scanstream.frames", 0)])
    assert (rig.budget.frames, rig.budget.bytes) == (0, 0)


async def test_the_budget_bounds_what_is_in_flight(rig: Rig) -> None:
    gate = asyncio.Event()

    async def process(message: FrameMessage) -> Result:
        await gate.wait()
        return result_of(message)

    rig.process = process
    for offset in range(8):
        await rig.take(record(offset))
    ninth = asyncio.create_task(rig.take(record(8)))
    await asyncio.sleep(0)
    assert not ninth.done()
    gate.set()
    await ninth
    await rig.until_acknowledged(9)


async def test_a_frame_larger_than_the_budget_passes_alone() -> None:
    budget = Budget(max_bytes=10, max_frames=4)
    await budget.acquire(100)
    assert not budget.has_room(1)
    await budget.release(100)
    assert budget.has_room(1)
