"""Whether the servers of a stack grow while they are loaded for long."""

from __future__ import annotations

import os

from perf.run.stack import BROKERS, Loaded
from perf.soak.usage import Window, grown, shared_mib, usage

WINDOWS = 20
LEAST_S = 2.0  # of a window: usage() reads all of /proc


class Growth:
    """Looks at what each server holds, in as many windows of the run; `found` judges."""

    def __init__(self, loaded: Loaded, seconds: float) -> None:
        self._loaded = loaded
        self._window_s = max(LEAST_S, seconds / WINDOWS)
        self._seconds = seconds
        self._windows: list[Window] = []

    def look(self, gone_s: float) -> None:
        """Look, where a window has ended."""
        ended = len(self._windows) + 1
        if gone_s < ended * self._window_s or gone_s > self._seconds + self._window_s:
            return
        servers = {one.name: usage(one.pid) for one in self._loaded.servers if one.pid}
        # what was sent and answered is in the run's timeline; only what is held is judged here
        self._windows.append(
            Window(
                at_s=gone_s,
                sent=0,
                answered=0,
                p50_ms=0.0,
                p99_ms=0.0,
                shared_mib=shared_mib([os.getpid()]),
                servers=servers,
            )
        )

    def found(self) -> list[str]:
        """Return what has grown, in words. The pip broker keeps every record, and may grow."""
        if len(self._windows) < 5 or not self._loaded.servers:
            return []
        exempt = ("broker",) if self._loaded.broker == BROKERS["Broker"] else ()
        return grown(self._windows, exempt=exempt)
