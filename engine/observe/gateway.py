"""What the gateway notes: each object once it is answered, its frames once they are confirmed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import get_args

from engine.messages import FrameMessage, Lane
from engine.observe.instruments import Instruments, harmless
from engine.observe.spans import Spans

# What a refused object is answered with, in the words of the gateway's log.
REFUSALS = ("out-of-resources", "data-set-does-not-match", "cannot-understand")


class GatewayNotes:
    """Metrics and spans of the gateway, each None where it is off; then nothing is noted."""

    def __init__(self, instruments: Instruments | None = None, spans: Spans | None = None) -> None:
        self._instruments = instruments
        self._spans = spans
        if instruments is not None:
            for lane in get_args(Lane):
                instruments.begin("scanstream_gateway_objects_total", lane)
                instruments.begin("scanstream_gateway_frames_total", lane)
            for reason in REFUSALS:
                instruments.begin("scanstream_gateway_refused_total", reason)

    @harmless
    def stored(self, lane: Lane, size: int, seconds: float, refused: str) -> None:
        """Note an object of `size` bytes as it is answered; `refused` is "" for success."""
        if (made := self._instruments) is None:
            return
        made.count("scanstream_gateway_bytes_total", by=size)
        made.observe("scanstream_gateway_store_seconds", seconds)
        if refused:
            made.count("scanstream_gateway_refused_total", refused)
        else:
            made.count("scanstream_gateway_objects_total", lane)

    @harmless
    def confirmed(self, frames: Sequence[FrameMessage]) -> None:
        """Note frames that the broker has confirmed; called in the publisher's thread."""
        now_ns = time.time_ns()
        for frame in frames:
            if self._instruments is not None:
                self._instruments.count("scanstream_gateway_frames_total", frame.lane)
            if self._spans is not None:
                self._spans.accepted(frame, now_ns)

    def watch(self, associations: Callable[[], int], inflight: Callable[[], int]) -> None:
        """Let the open associations, and the bytes in flight, be counted at every scrape."""
        if self._instruments is not None:
            self._instruments.watch("scanstream_gateway_associations", associations)
            self._instruments.watch("scanstream_gateway_inflight_bytes", inflight)
