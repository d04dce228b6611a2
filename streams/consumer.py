"""Faust's consumer with two of its traps mended (faust-streaming 0.15.3, aiokafka 0.14).

It drops what it fetched while a rebalance was under way and then seeks to the commits; aiokafka
does nothing for a partition that has none (`seek_to_committed`). So records of a partition's first
seconds were fetched, dropped, and not read again until the worker restarted.

It asks the broker to wait up to 1.5 s for records, by a number in its code. A broker that looks
for new records at intervals of that wait, as the embedded one does, hands them over late.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import faust
from faust.transport.drivers import aiokafka as driver

FETCH_WAIT_MS = 50


class _Thread(driver.AIOKafkaConsumerThread):  # type: ignore[misc]
    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS  # read when it starts; Faust offers no setting
        return consumer


class MendedConsumer(driver.Consumer):  # type: ignore[misc]
    """Waits briefly for records, and goes back to the earliest where there is no commit."""

    def _new_consumer_thread(self) -> Any:
        return _Thread(self, loop=self.loop, beacon=self.beacon)

    async def seek_to_committed(self) -> Mapping[Any, int]:
        """Seek every assigned partition; return the commits, as Faust's own does."""
        commits: Mapping[Any, int] = await super().seek_to_committed()
        changelogs = self.app.tables.changelog_topics  # recovery has its own places in these
        never = [tp for tp, at in commits.items() if not at and tp.topic not in changelogs]
        if never:
            for tp, at in (await self.earliest_offsets(*never)).items():
                await self._seek(tp, at)
        return commits


class App(faust.App):  # type: ignore[misc]
    """A faust.App with that consumer."""

    def _new_consumer(self) -> Any:
        self.transport.Consumer = MendedConsumer
        return super()._new_consumer()
