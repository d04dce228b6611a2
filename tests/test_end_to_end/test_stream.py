"""The main path: a scanner sends, results come out, and every record keeps its schema."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from engine.demo.run import frame_ids
from engine.local.stack import LocalStack, Role
from engine.messages import DEAD_LETTER, FRAMES, FRAMES_STAT, RESULTS, DeadLetter, Result
from engine.metrics import STAGES
from engine.phantom import Phantom, dicom_objects
from engine.postprocess import decode_mask
from engine.send import send_dicom
from streams.topics import table

pytestmark = [pytest.mark.kafka, pytest.mark.triton]

Send = Callable[[list[Any]], set[str]]
Wait = Callable[[set[str]], list[Result]]
Letters = Callable[[int, Callable[[DeadLetter], bool]], list[DeadLetter]]


def validator(checkout: Path, name: str) -> Any:
    schema = json.loads((checkout / "docs" / "schemas" / f"{name}.v1.json").read_text())
    return jsonschema.Draft202012Validator(schema)


async def raw_records(broker: str, topic: str) -> list[Any]:
    """Read all records that a topic holds now, with a consumer that knows nothing of us."""
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=broker, auto_offset_reset="earliest")
    await consumer.start()
    try:
        ends = await consumer.end_offsets(list(consumer.assignment()))
        found: list[Any] = []
        async with asyncio.timeout(30):
            while any([await consumer.position(tp) < end for tp, end in ends.items()]):
                for records in (await consumer.getmany(timeout_ms=500)).values():
                    found += records
        return found
    finally:
        await consumer.stop()


def test_a_phantom_study_over_c_store(send: Send, results_of: Wait) -> None:
    phantom = Phantom(seed=11, slices=3, phases=4)
    frames = send(list(dicom_objects(phantom)))
    results = results_of(frames)
    assert {one.frame.id for one in results} == frames
    assert {one.route for one in results} == {"cine"}
    for one in results:
        assert one.status in ("ok", "degraded")
        assert one.model is not None
        assert len(one.model.digest) == 64
        spent_ms = sum(one.stages_ms.values())
        assert spent_ms == pytest.approx((one.published_ns - one.accepted_ns) / 1e6, rel=0.01)
        assert set(one.stages_ms) <= set(STAGES)
        for mask, finding in zip(one.masks, one.findings, strict=True):
            assert np.count_nonzero(decode_mask(mask)) == finding.pixels


def test_n7_what_is_no_frame_costs_nobody_else_anything(
    stack: LocalStack, send: Send, results_of: Wait, dead_letters: Letters
) -> None:
    junk = [
        (b"hello", None, b"2.25.9"),
        (None, None, b"2.25.9"),
        (b"", [("ce_type", b"scanstream.frame.v1")], b"2.25.9"),
        (b"x", [("ce_type", b"scanstream.frame.v1"), ("x-frame", b"\x80")], b"\xff"),
    ]

    async def produce() -> None:
        producer = AIOKafkaProducer(bootstrap_servers=stack.settings.broker, acks="all")
        await producer.start()
        for partition in range(stack.settings.partitions):
            for value, headers, key in junk:
                await producer.send_and_wait(
                    FRAMES, value=value, headers=headers or [], key=key, partition=partition
                )
        await producer.stop()

    asyncio.run(produce())
    frames = send(list(dicom_objects(Phantom(seed=12, slices=3, phases=2))))
    assert {one.frame.id for one in results_of(frames)} == frames
    expected = len(junk) * stack.settings.partitions
    # The stack is shared: a letter about another test's frame is not this one's.
    letters = dead_letters(expected, lambda one: one.frame is None or one.frame.id in frames)
    assert {(one.reason, one.tries, one.frame) for one in letters} == {("bad-message", 1, None)}


def test_every_record_on_every_topic_keeps_its_schema(
    stack: LocalStack, send: Send, checkout: Path, results_of: Wait
) -> None:
    frames = send(list(dicom_objects(Phantom(seed=13, slices=3, phases=2))))
    results_of(frames)
    frame_schema = validator(checkout, "frame")
    for record in asyncio.run(raw_records(stack.settings.broker, FRAMES)):
        headers = dict(record.headers)
        if headers.get("ce_specversion") == b"1.0":  # the others are another test's junk
            frame_schema.validate(json.loads(headers["x-frame"]))
        if "x-claim" in headers:
            validator(checkout, "claim").validate(json.loads(headers["x-claim"]))
    for record in asyncio.run(raw_records(stack.settings.broker, RESULTS)):
        validator(checkout, "result").validate(json.loads(record.value))
        assert record.key == json.loads(record.value)["frame"]["series_instance_uid"].encode()
    for record in asyncio.run(raw_records(stack.settings.broker, DEAD_LETTER)):
        validator(checkout, "dead-letter").validate(json.loads(record.value))


@pytest.mark.parametrize("topic", [FRAMES, RESULTS, DEAD_LETTER])
def test_topic_is_documented(stack: LocalStack, checkout: Path, topic: str) -> None:
    assert f"| `{topic}` |" in (checkout / "docs" / "topics.md").read_text()


def test_the_table_of_topics_is_documented(stack: LocalStack, checkout: Path) -> None:
    documented = (checkout / "docs" / "topics.md").read_text()
    for topic in table(stack.settings):
        assert f"| `{topic.name}` | {topic.key}" in documented


def test_a_large_frame_travels_as_a_claim_check(
    stack: LocalStack, send: Send, checkout: Path, results_of: Wait
) -> None:
    (large,) = list(dicom_objects(Phantom(seed=14, slices=3, phases=2, size=1024)))[:1]
    assert len(large.PixelData) > stack.settings.inline_limit
    (result,) = results_of(send([large]))
    assert result.stages_ms["fetch"] > 0
    assert (result.frame.rows, result.frame.columns) == (1024, 1024)
    records = asyncio.run(raw_records(stack.settings.broker, FRAMES))
    claimed = [one for one in records if dict(one.headers).get("ce_id") == result.frame.id.encode()]
    assert [one.value or b"" for one in claimed] == [b""]
    claim = json.loads(dict(claimed[0].headers)["x-claim"])
    validator(checkout, "claim").validate(claim)
    assert claim["length"] == len(large.PixelData)


def test_the_same_object_twice_gives_the_same_result_id(send: Send, results_of: Wait) -> None:
    objects = list(dicom_objects(Phantom(seed=15, slices=3, phases=2)))[:1]
    send(objects)
    first = results_of(frame_ids(objects))
    send(objects)
    assert [one.id for one in results_of(frame_ids(objects))] == [one.id for one in first]


def test_a_stat_frame_takes_its_own_lane(
    stack: LocalStack, checkout: Path, results_of: Wait
) -> None:
    words = ["streams", "worker", "--lane", "stat"]
    objects = list(dicom_objects(Phantom(seed=16, slices=3, phases=2)))
    with Role("worker-stat", words, stack.folder, stack.settings):
        report = send_dicom(objects, stack.settings.host, stack.settings.port, stat=True)
        assert report.ok, report.refused
        results = results_of(frame_ids(objects))
    assert {one.lane for one in results} == {"stat"}
    frame_schema = validator(checkout, "frame")
    for record in asyncio.run(raw_records(stack.settings.broker, FRAMES_STAT)):
        frame_schema.validate(json.loads(dict(record.headers)["x-frame"]))
