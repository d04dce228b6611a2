"""Sending a record and knowing that the broker has it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Protocol

import faust
import msgspec

from engine.errors import BrokerUnavailable


class Published(Protocol):
    """A record that goes out as JSON: it has a schema's name and an id."""

    @property
    def schema(self) -> str:
        """Such as `scanstream.result.v1`."""

    @property
    def id(self) -> str:
        """The same for every repeat of this record."""


def raw_topic(app: faust.App, name: str) -> Any:
    """Return a topic whose keys and values are bytes, as they are."""
    return app.topic(
        name, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw"
    )


async def send_confirmed(
    topic: Any,
    key: str,
    record: Published,
    timeout_s: float,
    extra_headers: Mapping[str, str] | None = None,
) -> None:
    """Send a record with its CloudEvents headers; return once the broker has confirmed it.

    Raises `BrokerUnavailable` when it does not within `timeout_s`; it may be there all the same.
    """
    headers = {
        "ce_specversion": "1.0",
        "ce_type": record.schema,
        "ce_id": record.id,
        "content-type": "application/json",
        **(extra_headers or {}),
    }
    try:
        async with asyncio.timeout(timeout_s):
            sent = await topic.send(
                key=key.encode(),
                value=msgspec.json.encode(record),
                headers=[(name, text.encode()) for name, text in headers.items()],
            )
            await confirmed(sent)
    except Exception as error:
        raise BrokerUnavailable(
            f"{topic.get_topic_name()} did not confirm a record ({type(error).__name__})"
        ) from error


async def confirmed(sent: asyncio.Future[Any]) -> None:
    """Await what a send returned. `send()` only queues: this is the broker's word.

    Giving up must not cancel the producer's own future, which it still sets.
    """
    sent.add_done_callback(lambda done: done.cancelled() or done.exception())
    await asyncio.shield(sent)
