"""Holds the whole worker while a dependency is away: nothing is taken, nothing is committed."""

from __future__ import annotations

import asyncio
import logging

from engine.errors import DependencyAway

log = logging.getLogger(__name__)


class Hold:
    """Open while every dependency answers. One failure closes it; it opens again to try.

    The wait doubles with every failure in a row, up to `max_s`, and there is no last try.
    """

    def __init__(self, *, first_s: float = 0.1, max_s: float) -> None:
        self._first_s = first_s
        self._max_s = max_s
        self._wait_s = first_s
        self._open = asyncio.Event()
        self._open.set()

    @property
    def holding(self) -> bool:
        """True while a dependency is waited for."""
        return not self._open.is_set()

    async def passed(self) -> None:
        """Wait until every dependency may be tried."""
        await self._open.wait()

    def close(self, error: DependencyAway) -> None:
        """Hold everything for a while: a dependency did not answer."""
        if not self._open.is_set():
            return  # others that were in flight report the same outage
        log.warning("holding for %.1f s: %s", self._wait_s, error)
        self._open.clear()
        asyncio.get_running_loop().call_later(self._wait_s, self._open.set)
        self._wait_s = min(self._wait_s * 2, self._max_s)

    def worked(self) -> None:
        """Note that every dependency answered: the next outage starts with a short wait."""
        if self._open.is_set():
            self._wait_s = self._first_s
