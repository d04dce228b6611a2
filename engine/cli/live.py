"""The live table of `scanstream results --follow`: the latest results, and the stream's totals."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable

import numpy as np
from rich.console import Group
from rich.table import Table
from rich.text import Text

from engine.messages import Result

LATEST = 20
RATE_WINDOW_S = 10
LATENCIES = 1000

COLUMNS = ("frame", "route", "status", "area mm²", "sure", "ms")


def cells(result: Result) -> tuple[str, ...]:
    """Return one result as the texts of `COLUMNS`; the first finding stands for all."""
    first = result.findings[0] if result.findings else None
    return (
        str(result.frame.frame_number),
        result.route or "-",
        result.status,
        f"{first.area_mm2:.0f}" if first and first.area_mm2 is not None else "-",
        f"{first.confidence:.2f}" if first else "-",
        f"{latency_ms(result):.1f}",
    )


def latency_ms(result: Result) -> float:
    """Return the time from accepted by the gateway to published by the worker."""
    return (result.published_ns - result.accepted_ns) / 1e6


class LiveResults:
    """What has been read so far. `add` and `render` may be called from different threads.

    The rate is of results published in the last `RATE_WINDOW_S` seconds, by their own time, so that
    reading an old topic fast shows no rate; percentiles are of the latest `LATENCIES` results.
    `repeats` tells how many have been dropped until now.
    """

    def __init__(
        self, repeats: Callable[[], int], clock_ns: Callable[[], int] = time.time_ns
    ) -> None:
        self._repeats, self._clock_ns = repeats, clock_ns
        self._lock = threading.Lock()
        self._latest: deque[Result] = deque(maxlen=LATEST)
        self._latencies_ms: deque[float] = deque(maxlen=LATENCIES)
        self._published_ns: deque[int] = deque()
        self._statuses: Counter[str] = Counter()

    def add(self, result: Result) -> None:
        """Take the next result."""
        with self._lock:
            self._latest.append(result)
            self._latencies_ms.append(latency_ms(result))
            self._published_ns.append(result.published_ns)
            self._statuses[result.status] += 1
            self._forget_old()

    def render(self) -> Group:
        """Return the table, newest result last, and the line of totals under it."""
        with self._lock:
            self._forget_old()
            table = Table(*COLUMNS)
            for result in self._latest:
                table.add_row(*cells(result))
            return Group(table, Text(self._totals()))

    def _forget_old(self) -> None:
        """Drop what was published before the window; the order of arrival is nearly by time."""
        since_ns = self._clock_ns() - RATE_WINDOW_S * 1_000_000_000
        while self._published_ns and self._published_ns[0] < since_ns:
            self._published_ns.popleft()

    def _totals(self) -> str:
        count = sum(self._statuses.values())
        each = ", ".join(f"{number} {status}" for status, number in sorted(self._statuses.items()))
        parts = [f"{count} results ({each or 'none yet'})", f"{self._repeats()} repeats dropped"]
        parts.append(f"{len(self._published_ns) / RATE_WINDOW_S:.1f} results/s")
        if self._latencies_ms:
            p50, p99 = np.percentile(list(self._latencies_ms), [50, 99])
            parts.append(f"latency p50 {p50:.1f} ms, p99 {p99:.1f} ms")
        return "; ".join(parts)
