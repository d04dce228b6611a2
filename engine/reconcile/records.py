"""Records of a topic: all that it holds now, or those at given places."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from engine.config import Settings
from engine.errors import BrokerUnavailable
from engine.results.consumer import close_consumer, open_consumer, unread
from engine.security import client_options

POLL_MS = 500
FETCH_LIMIT_S = 30.0

Tick = Callable[[int], None]


class Place(NamedTuple):
    """Where a record lies."""

    topic: str
    partition: int
    offset: int


async def scan(settings: Settings, topic: str, tick: Tick = lambda _: None) -> AsyncIterator[Any]:
    """Yield every record that the topic holds now; `tick` is told how many came at a time.

    Raises `BrokerUnavailable`.
    """
    consumer = await open_consumer(settings, topic)
    try:
        left = await unread(consumer)
        while left:
            batches = await consumer.getmany(timeout_ms=POLL_MS)
            for partition, records in batches.items():
                for record in records:
                    if record.offset < left.get(partition, 0):
                        yield record
                tick(len(records))
            for partition in list(left):
                if await consumer.position(partition) >= left[partition]:
                    del left[partition]
    finally:
        await close_consumer(consumer)


async def at(settings: Settings, places: Iterable[Place]) -> dict[Place, Any]:
    """Return the records at these places; one that retention has removed is left out.

    Raises `BrokerUnavailable`.
    """
    wanted: dict[str, list[Place]] = {}
    for place in places:
        wanted.setdefault(place.topic, []).append(place)
    found: dict[Place, Any] = {}
    for topic, ones in wanted.items():
        consumer = await open_consumer(settings, topic)
        try:
            for place in sorted(ones):
                record = await _one(consumer, place)
                if record is not None:
                    found[place] = record
        finally:
            await close_consumer(consumer)
    return found


async def _one(consumer: AIOKafkaConsumer, place: Place) -> Any:
    tp = TopicPartition(place.topic, place.partition)
    if tp not in consumer.assignment():
        return None
    first = (await consumer.beginning_offsets([tp]))[tp]
    last = (await consumer.end_offsets([tp]))[tp]
    if not first <= place.offset < last:
        return None
    consumer.seek(tp, place.offset)
    try:
        async with asyncio.timeout(FETCH_LIMIT_S):
            record = await consumer.getone(tp)
    except TimeoutError:
        raise BrokerUnavailable(
            f"{place.topic}/{place.partition}/{place.offset} was not read within"
            f" {FETCH_LIMIT_S:.0f} s: does the broker answer?"
        ) from None
    return record if record.offset == place.offset else None


async def committed(settings: Settings, group: str, topic: str) -> dict[tuple[str, int], int]:
    """Return the offsets that a group has committed on a topic, by topic and partition.

    Raises `BrokerUnavailable`.
    """
    admin = AIOKafkaAdminClient(**client_options(settings))
    try:
        await admin.start()
        (about,) = await admin.describe_topics([topic])
        # Named one by one: the embedded broker (tansu 0.6) hangs up on who asks for all.
        parts = [TopicPartition(topic, one["partition"]) for one in about["partitions"]]
        offsets = await admin.list_consumer_group_offsets(group, partitions=parts)
    except (KafkaError, OSError) as error:
        raise BrokerUnavailable(
            f"cannot read the offsets of {group} at {settings.broker} ({type(error).__name__}):"
            " is the broker up?"
        ) from error
    finally:
        await admin.close()
    return {(tp.topic, tp.partition): one.offset for tp, one in offsets.items() if one.offset >= 0}
