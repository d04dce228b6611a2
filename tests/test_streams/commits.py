"""Faust's own arithmetic of commits, before a broker that answers as it is told to."""

from __future__ import annotations

import logging
from collections import defaultdict
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

from faust.types import TP
from intervaltree import IntervalTree
from mode.utils.logging import CompositeLogger

from streams.consumer import MendedConsumer

PART = TP("f", 0)
Reply = bool | Exception


class Commits(MendedConsumer):
    """One partition's consumer without a connection; everything between is Faust's and ours.

    `asked` has every offset that it wanted to commit, `committed` what the broker has.
    """

    def __init__(self, committed: int | None) -> None:
        self._acked, self._acked_index = defaultdict(list), defaultdict(set)
        self._gap = defaultdict(IntervalTree)
        self._read_offset = defaultdict(lambda: None, {PART: committed})
        self._committed_offset = defaultdict(lambda: None, {PART: committed})
        self._read_before = {}
        self.in_transaction, self.log = False, CompositeLogger(logging.getLogger(__name__))
        nothing = SimpleNamespace(on_commit=lambda _: None, on_tp_commit=lambda _: None)
        self.app = SimpleNamespace(
            tables=nothing, monitor=nothing, producer=self, consumer_generation_id=1
        )
        self.assigned = {PART}
        self.asked: list[int] = []
        self.committed = committed
        self._reply: Reply = True

    async def flush(self) -> None:
        """Stand in for the producer's."""

    def assignment(self) -> set[Any]:
        """Return what is assigned."""
        return self.assigned

    async def _handle_attached(self, _: Any) -> None:
        """Nothing is attached."""

    async def _commit(self, offsets: Any) -> bool:
        self.asked.append(offsets[PART])
        if isinstance(self._reply, Exception):
            raise self._reply
        if self._reply:
            self.committed = offsets[PART]
        return self._reply

    async def read(self, offset: int) -> None:
        """Note a record as read, and what lies before it as a gap, as Faust does."""
        last = self._read_offset[PART]
        if last and offset - last > 1:
            await self._add_gap(PART, last + 1, offset)
        self._read_offset[PART] = offset

    def acknowledge(self, *offsets: int) -> None:
        """Acknowledge records, as Faust's `ack` does."""
        self._acked[PART].extend(offsets)
        self._acked_index[PART].update(offsets)

    async def commit_answered(self, reply: Reply) -> None:
        """Commit what can be; the broker replies so."""
        self._reply = reply
        with suppress(ConnectionError):
            await self._commit_tps([PART], start_new_transaction=False)
