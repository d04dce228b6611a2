"""A consumer of every partition of one topic, from the beginning, outside any group."""

from __future__ import annotations

import asyncio

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from engine.config import Settings
from engine.errors import BrokerUnavailable
from engine.security import client_options

MAX_FETCH_BYTES = 8 * 1024 * 1024


async def open_consumer(settings: Settings, topic: str) -> AIOKafkaConsumer:
    """Return a consumer at the beginning of `topic`; raise `BrokerUnavailable`."""
    consumer = AIOKafkaConsumer(
        **client_options(settings),
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=MAX_FETCH_BYTES,
    )
    try:
        await consumer.start()
        partitions = await _partitions(consumer, settings.broker, topic)
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
    except (KafkaError, OSError) as error:
        await consumer.stop()
        raise BrokerUnavailable(
            f"cannot read {topic} at {settings.broker} ({type(error).__name__}):"
            " is the stack up? (`scanstream up`; set `broker`)"
        ) from error
    except BaseException:
        await consumer.stop()
        raise
    return consumer


async def close_consumer(consumer: AIOKafkaConsumer) -> None:
    """Stop it, whatever its node did."""
    try:
        await consumer.stop()
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        await _finish_stopping(consumer)


async def unread(consumer: AIOKafkaConsumer) -> dict[TopicPartition, int]:
    """Return the end offsets of the partitions that hold anything to read."""
    ends = await consumer.end_offsets(list(consumer.assignment()))
    starts = await consumer.beginning_offsets(list(ends))
    return {tp: end for tp, end in ends.items() if end > starts[tp]}


async def _partitions(consumer: AIOKafkaConsumer, broker: str, topic: str) -> list[TopicPartition]:
    numbers = consumer.partitions_for_topic(topic)
    if numbers is None:
        await consumer._client.force_metadata_update()
        numbers = consumer.partitions_for_topic(topic)
    if not numbers:
        raise BrokerUnavailable(
            f"{broker} has no topic {topic}: `python -m streams topics` creates it"
        )
    return [TopicPartition(topic, number) for number in sorted(numbers)]


async def _finish_stopping(consumer: AIOKafkaConsumer) -> None:
    """Do what `stop` of aiokafka 0.14 leaves where a fetch was waiting for a node that died.

    It lets out the cancellation of its own fetch, and stops there.
    """
    fetches = list(consumer._fetcher._pending_tasks)
    for fetch in fetches:
        fetch.cancel()
    await asyncio.gather(*fetches, return_exceptions=True)
    await consumer._client.close()
