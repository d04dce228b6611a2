"""Stage names and timers: where a frame's time went, in milliseconds."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

# In the order in which a frame passes them; they add up to the time from accepted to published.
STAGES = (
    "transport",  # accepted by the gateway -> taken by a worker (store, broker, waiting in both)
    "fetch",  # a claim check's value read from the store
    "decode",
    "enhance",
    "batch",  # waiting for the batch to fill and for a free slot
    "infer",
    "postprocess",
    "release",  # waiting for the frames before it in its partition
)


class StageTimes:
    """The stage times of one frame, gathered as it goes."""

    __slots__ = ("ms",)

    def __init__(self) -> None:
        self.ms: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time spent inside to stage `name`."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.add(name, (time.perf_counter() - start) * 1e3)

    def add(self, name: str, ms: float) -> None:
        """Add `ms` to stage `name` (a retried stage counts every try)."""
        self.ms[name] = round(self.ms.get(name, 0.0) + ms, 4)
