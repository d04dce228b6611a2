"""Stage names and timers: where a frame's time went, in milliseconds."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

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
    """The stage times of one frame, gathered as it goes; `began_ns` is Unix time."""

    __slots__ = ("began_ns", "ms")

    def __init__(self) -> None:
        self.ms: dict[str, float] = {}
        self.began_ns: dict[str, int] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time spent inside to stage `name`."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.add(name, (time.perf_counter() - start) * 1e3)

    def add(self, name: str, ms: float, *, ended_ms_ago: float = 0.0) -> None:
        """Add `ms` to stage `name` (a retried stage counts every try), which has just ended."""
        if name not in self.began_ns:
            self.began_ns[name] = time.time_ns() - round((ms + ended_ms_ago) * 1e6)
        self.ms[name] = round(self.ms.get(name, 0.0) + ms, 4)


class FrameLink(NamedTuple):
    """What names a frame in a trace: its message's `traceparent` header and its id."""

    traceparent: str
    frame_id: str


class BatchTimes(NamedTuple):
    """One batch that a model has answered; times are Unix time in nanoseconds."""

    model: str
    frames: tuple[FrameLink, ...]
    began_ns: int
    ended_ns: int
