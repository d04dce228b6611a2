"""Reads a topic of records from its beginning and gives each id once.

Delivery is at least once and a repeat carries the same id, so a consumer that drops the ids it has
seen sees each result once; this is the reference for that.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Generic, TypeVar

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from engine.config import Settings
from engine.errors import BrokerUnavailable
from engine.messages import DeadLetter, Result
from engine.security import client_options
from engine.series import Alert, SeriesMeasures

T = TypeVar("T", Result, DeadLetter, SeriesMeasures, Alert)
POLL_MS = 200


class Reader(Generic[T]):
    """An asynchronous context and iterator over one topic.

    With `follow` it never ends; without, it ends at the offsets that were last when it was opened.
    Records that are not of `kind` raise `msgspec.ValidationError`: nobody else writes there.
    """

    def __init__(self, settings: Settings, topic: str, kind: type[T], *, follow: bool) -> None:
        self._broker = settings.broker
        self._client_options = client_options(settings)
        self._topic = topic
        self._decoder: msgspec.json.Decoder[T] = msgspec.json.Decoder(kind)
        self._follow = follow
        self._seen: set[bytes] = set()
        self.repeats = 0

    async def __aenter__(self) -> Reader[T]:
        self._consumer = AIOKafkaConsumer(
            **self._client_options,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=8 * 1024 * 1024,
        )
        try:
            await self._consumer.start()
            partitions = await self._partitions()
            self._consumer.assign(partitions)
            await self._consumer.seek_to_beginning(*partitions)
        except (KafkaError, OSError) as error:
            await self._consumer.stop()
            raise BrokerUnavailable(
                f"cannot read {self._topic} at {self._broker} ({type(error).__name__}):"
                " is the stack up? (`scanstream up`; set `broker`)"
            ) from error
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            await self._consumer.stop()
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            await self._finish_stopping()

    async def _finish_stopping(self) -> None:
        """Do what `stop` of aiokafka 0.14 leaves where a fetch was waiting for a node that died.

        It lets out the cancellation of its own fetch, and stops there.
        """
        fetches = list(self._consumer._fetcher._pending_tasks)
        for fetch in fetches:
            fetch.cancel()
        await asyncio.gather(*fetches, return_exceptions=True)
        await self._consumer._client.close()

    async def __aiter__(self) -> AsyncIterator[T]:
        left = {} if self._follow else await self._unread()
        while self._follow or left:
            batches = await self._consumer.getmany(timeout_ms=POLL_MS)
            for partition, records in batches.items():
                for record in records:
                    if record.offset >= left.get(partition, record.offset + 1):
                        continue
                    decoded = self._decoder.decode(record.value)
                    if self._is_new(decoded.id):
                        yield decoded
            for partition in list(left):
                if await self._consumer.position(partition) >= left[partition]:
                    del left[partition]

    async def _partitions(self) -> list[TopicPartition]:
        numbers = self._consumer.partitions_for_topic(self._topic)
        if numbers is None:
            await self._consumer._client.force_metadata_update()
            numbers = self._consumer.partitions_for_topic(self._topic)
        if not numbers:
            raise BrokerUnavailable(
                f"{self._broker} has no topic {self._topic}: `python -m streams topics` creates it"
            )
        return [TopicPartition(self._topic, number) for number in sorted(numbers)]

    async def _unread(self) -> dict[TopicPartition, int]:
        """Return the end offsets of the partitions that hold anything to read."""
        ends = await self._consumer.end_offsets(list(self._consumer.assignment()))
        starts = await self._consumer.beginning_offsets(list(ends))
        return {tp: end for tp, end in ends.items() if end > starts[tp]}

    def _is_new(self, record_id: str) -> bool:
        """Return whether this id comes for the first time, and remember it (16 bytes each)."""
        known = bytes.fromhex(record_id)
        if known in self._seen:
            self.repeats += 1
            return False
        self._seen.add(known)
        return True
