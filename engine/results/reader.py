"""Reads a topic of records from its beginning and gives each id once.

Delivery is at least once and a repeat carries the same id, so a consumer that drops the ids it has
seen sees each result once; this is the reference for that.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import TracebackType
from typing import Generic, TypeVar

import msgspec

from engine.config import Settings
from engine.messages import DeadLetter, Result
from engine.results.consumer import close_consumer, open_consumer, unread
from engine.series import Alert, SeriesMeasures
from engine.serving import ShadowComparison

T = TypeVar("T", Result, DeadLetter, SeriesMeasures, Alert, ShadowComparison)
POLL_MS = 200


class Reader(Generic[T]):
    """An asynchronous context and iterator over one topic.

    With `follow` it never ends; without, it ends at the offsets that were last when it was opened.
    Records that are not of `kind` raise `msgspec.ValidationError`: nobody else writes there.
    """

    def __init__(self, settings: Settings, topic: str, kind: type[T], *, follow: bool) -> None:
        self._settings = settings
        self._topic = topic
        self._decoder: msgspec.json.Decoder[T] = msgspec.json.Decoder(kind)
        self._follow = follow
        self._seen: set[bytes] = set()
        self.repeats = 0

    async def __aenter__(self) -> Reader[T]:
        self._consumer = await open_consumer(self._settings, self._topic)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await close_consumer(self._consumer)

    async def __aiter__(self) -> AsyncIterator[T]:
        left = {} if self._follow else await unread(self._consumer)
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

    def _is_new(self, record_id: str) -> bool:
        """Return whether this id comes for the first time, and remember it (16 bytes each)."""
        known = bytes.fromhex(record_id)
        if known in self._seen:
            self.repeats += 1
            return False
        self._seen.add(known)
        return True
