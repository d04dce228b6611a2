"""Faust's consumer, which also goes back where nothing was committed yet.

Faust 0.15.3 drops what it fetched while a rebalance was under way and then seeks to the commits;
aiokafka 0.14 does nothing for a partition that has none (`seek_to_committed`). So records of a
partition's first seconds were fetched, dropped, and not read again until the worker restarted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import faust
from faust.transport.drivers import aiokafka as driver


class RewindingConsumer(driver.Consumer):  # type: ignore[misc]
    """Seeks to the earliest record where there is no commit."""

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
        self.transport.Consumer = RewindingConsumer
        return super()._new_consumer()
