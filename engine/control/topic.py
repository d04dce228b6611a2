"""The topic `scanstream.models`: read to its end, followed from there, written by one command."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaError

from engine.config import Settings
from engine.errors import BrokerUnavailable
from engine.results.consumer import close_consumer, open_consumer, unread
from engine.security import client_options
from engine.serving import MODELS_TOPIC, Serving

log = logging.getLogger(__name__)

POLL_MS = 200
READ_LIMIT_S = 30.0

# A model's name, and what serves it; None where its record was deleted.
Change = tuple[str, Serving | None]


class ServingTopic:
    """Every record of the topic, by its own consumer: no group, so that each worker sees all."""

    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        self._consumer = consumer

    @classmethod
    async def open(cls, settings: Settings) -> ServingTopic:
        """Stand at the beginning; raise `BrokerUnavailable`."""
        return cls(await open_consumer(settings, MODELS_TOPIC))

    async def close(self) -> None:
        """Leave the broker."""
        await close_consumer(self._consumer)

    async def latest(self) -> dict[str, Serving]:
        """Read to the end as it is now; return the last record of each model, by its name.

        Raises `BrokerUnavailable` where the broker stops answering on the way.
        """
        found: dict[str, Serving | None] = {}
        try:
            async with asyncio.timeout(READ_LIMIT_S):
                left = await unread(self._consumer)
                while left:
                    found.update(await self._poll())
                    for partition in list(left):
                        if await self._consumer.position(partition) >= left[partition]:
                            del left[partition]
        except (KafkaError, OSError, TimeoutError) as error:
            raise BrokerUnavailable(
                f"{MODELS_TOPIC} cannot be read to its end ({type(error).__name__})"
            ) from error
        return {name: serving for name, serving in found.items() if serving is not None}

    async def changes(self) -> AsyncIterator[Change]:
        """Yield what comes after `latest`, for ever."""
        while True:
            for change in await self._poll():
                yield change

    async def _poll(self) -> list[Change]:
        batches = await self._consumer.getmany(timeout_ms=POLL_MS)
        changes = (_change(record) for records in batches.values() for record in records)
        return [change for change in changes if change is not None]


async def read(settings: Settings) -> dict[str, Serving]:
    """Return what serves each model that has a record. Raise `BrokerUnavailable`."""
    topic = await ServingTopic.open(settings)
    try:
        return await topic.latest()
    finally:
        await topic.close()


async def publish(settings: Settings, serving: Serving) -> None:
    """Write one record and wait for the broker's word. Raise `BrokerUnavailable`."""
    producer = AIOKafkaProducer(
        **client_options(settings), acks="all", request_timeout_ms=_ms(settings.confirm_timeout_s)
    )
    try:
        async with asyncio.timeout(settings.confirm_timeout_s):
            await producer.start()
            await producer.send_and_wait(
                MODELS_TOPIC, key=serving.model.encode(), value=msgspec.json.encode(serving)
            )
    except (KafkaError, OSError, TimeoutError) as error:
        raise BrokerUnavailable(
            f"{MODELS_TOPIC} at {settings.broker} did not confirm the record"
            f" ({type(error).__name__}): it may be there all the same, look with `model list`"
        ) from error
    finally:
        await producer.stop()


def _change(record: Any) -> Change | None:
    """Return what a record says, None where it says nothing that this program understands."""
    try:
        name = (record.key or b"").decode()
        serving = msgspec.json.decode(record.value, type=Serving) if record.value else None
    except (UnicodeDecodeError, msgspec.MsgspecError) as error:
        where = f"{record.topic}/{record.partition}/{record.offset}"
        log.error("%s is no record of a served model, and changes nothing: %s", where, error)
        return None
    return name, serving


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
