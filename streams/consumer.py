"""Faust's consumer with two of its traps mended (faust-streaming 0.15.3, aiokafka 0.14).

It drops what it fetched while a rebalance was under way and then seeks to the commits; aiokafka
does nothing for a partition that has none (`seek_to_committed`). So records of a partition's first
seconds were fetched, dropped, and not read again until the worker restarted.

After a seek back it goes on with the batch that it had fetched before. That raises the offset from
which it drops what it has read, so that what was sought is dropped as it comes; and it notes what
lies between as a gap, over which a commit may then step.

A commit that the broker refuses is taken for done (faust#316): what it would have committed is
forgotten, and the partition commits nothing any more.
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

import faust
from faust.transport.drivers import aiokafka as driver

log = logging.getLogger(__name__)

STALE_LIMIT_S = 30.0  # no batch is older; what was sought may have been deleted in the meantime


class MendedConsumer(driver.Consumer):  # type: ignore[misc]
    """Goes back to the earliest where there is no commit, and gives nothing after a seek back that
    was fetched before it.
    """

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        # By partition: the offset up to which records were given before the seek, and until when
        # those above it are taken for older ones.
        self._read_before: dict[Any, tuple[int, float]] = {}

    async def getmany(self, *args: Any, **more: Any) -> AsyncIterator[tuple[Any, Any]]:
        """Yield (partition, message), as Faust's own does."""
        async for tp, message in super().getmany(*args, **more):
            if not self._is_stale(tp, message.offset):
                yield tp, message

    async def seek(self, partition: Any, offset: int) -> None:
        """Read on from `offset`."""
        self._goes_back(partition, offset)
        await super().seek(partition, offset)

    async def _commit_offsets(self, offsets: Mapping[Any, int], **more: Any) -> bool:
        """Commit; return whether it is done. What was refused goes with the next commit."""
        before = {tp: self._committed_offset[tp] for tp in offsets}
        generation, done = self.app.consumer_generation_id, False
        try:
            done = bool(await super()._commit_offsets(offsets, **more))
        finally:
            if not done and generation == self.app.consumer_generation_id:
                for tp, offset in offsets.items():
                    self._put_back(tp, before[tp], offset)
        return done

    def _put_back(self, tp: Any, first: int | None, offset: int) -> None:
        """Give Faust back the acknowledgements from `first` on that it took out for a commit."""
        if tp not in self.assignment():
            return  # another's now, which reads again from the commit before
        acked = range(offset - 1 if first is None else first, offset)
        known = self._acked_index[tp]
        self._acked[tp].extend(each for each in acked if each not in known)
        known.update(acked)
        self._committed_offset[tp] = first
        log.warning("a commit of %s was refused; it goes with the next", tp)

    def _goes_back(self, tp: Any, offset: int) -> None:
        """Note a seek, before it happens; one forward leaves nothing stale behind it."""
        read = self._read_offset[tp]
        if read is not None and read >= offset:
            self._read_before[tp] = read, time.monotonic() + STALE_LIMIT_S

    def _is_stale(self, tp: Any, offset: int) -> bool:
        """True for records above what was read before the seek, until one from below comes."""
        if tp not in self._read_before:
            return False
        read, until_s = self._read_before[tp]
        if offset > read and time.monotonic() < until_s:
            return True
        del self._read_before[tp]
        return False

    async def seek_to_committed(self) -> Mapping[Any, int]:
        """Seek every assigned partition; return the commits, as Faust's own does."""
        self._read_before.clear()  # the partitions may have been another's in the meantime
        commits: Mapping[Any, int] = await super().seek_to_committed()
        changelogs = self.app.tables.changelog_topics  # recovery has its own places in these
        sought = {tp: at for tp, at in commits.items() if tp.topic not in changelogs}
        for tp, at in sought.items():
            self._goes_back(tp, at or 0)
        if never := [tp for tp, at in sought.items() if not at]:
            for tp, at in (await self.earliest_offsets(*never)).items():
                await self._seek(tp, at)
        return commits


class App(faust.App):  # type: ignore[misc]
    """A faust.App with that consumer."""

    def _new_consumer(self) -> Any:
        self.transport.Consumer = MendedConsumer
        return super()._new_consumer()
