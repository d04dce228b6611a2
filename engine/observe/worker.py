"""What a worker notes: each frame once it is published, each batch once it is answered."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Literal, Protocol

from engine.messages import DeadLetter, FrameMessage, Lane, Result
from engine.metrics import STAGES, BatchTimes, FrameLink, StageTimes
from engine.observe.instruments import Instruments, harmless
from engine.observe.spans import Spans

STATES = ("closed", "open", "half-open")
STATUSES = ("ok", "degraded", "unrouted", "dead-letter")
REASONS = (  # of dead letters: `FrameError` and its kinds, and what `streams.worker` adds
    *("bad-message", "claim-unreadable", "decode-failed", "enhance-failed", "frame-error"),
    *("internal-error", "result-too-large"),
)


class InFlight(Protocol):
    """Frames taken and not acknowledged, as `streams.budget.Budget` counts them."""

    bytes: int
    frames: int
    max_bytes: int


class Reached(Protocol):
    """A model's client, as `engine.infer.TritonModel` is one."""

    @property
    def state(self) -> Literal["closed", "open", "half-open"]:
        """Of its circuit breaker."""


class WorkerNotes:
    """Metrics and spans of one worker, each None where it is off; then nothing is noted.

    For the worker's event loop. Latencies need one clock on the gateway's and the worker's host.
    """

    def __init__(self, lane: Lane, instruments: Instruments | None, spans: Spans | None) -> None:
        self._lane = lane
        self._instruments = instruments
        self._spans = spans
        if instruments is not None:
            for status in STATUSES:
                instruments.begin("scanstream_frames_total", lane, status)
            for stage in STAGES:
                instruments.begin("scanstream_stage_seconds", stage, lane)
            for reason in REASONS:
                instruments.begin("scanstream_dead_letters_total", reason)
            instruments.begin("scanstream_frame_latency_seconds", lane)
            instruments.begin("scanstream_deadline_missed_total", lane)

    @harmless
    def computed(self, message: FrameMessage, times: StageTimes) -> None:
        """Note a frame that has passed every stage, before it waits for its release."""
        if self._spans is not None:
            self._spans.stages(FrameLink(message.traceparent, message.id), times)

    @harmless
    def batch(self, batch: BatchTimes) -> None:
        """Note a batch that a model has answered."""
        if self._instruments is not None:
            self._instruments.observe("scanstream_batch_size", len(batch.frames), batch.model)
        if self._spans is not None:
            self._spans.batch(batch)

    @harmless
    def published(self, outcome: Result | DeadLetter) -> None:
        """Note what the broker has confirmed."""
        if self._instruments is not None:
            if isinstance(outcome, Result):
                _note_result(self._instruments, outcome)
            else:
                self._instruments.count("scanstream_frames_total", self._lane, "dead-letter")
                self._instruments.count("scanstream_dead_letters_total", outcome.reason)
        if self._spans is not None:
            self._spans.frame(outcome, self._lane)

    def watch(
        self,
        budget: InFlight,
        models: Mapping[str, Reached],
        *,
        oldest_ns: Callable[[], int | None],
        holding: Callable[[], bool],
    ) -> None:
        """Let what the worker holds, and whether Triton answers, be read at every scrape."""
        if (made := self._instruments) is None:
            return
        made.watch("scanstream_inflight_bytes", lambda: budget.bytes)
        made.watch("scanstream_inflight_frames", lambda: budget.frames)
        made.watch("scanstream_inflight_limit_bytes", lambda: budget.max_bytes)
        made.watch("scanstream_holding", holding)
        oldest = "scanstream_oldest_unacknowledged_seconds"
        made.watch(oldest, lambda: _age_s(oldest_ns()), self._lane)
        for name, model in models.items():
            for state in STATES:
                made.watch("scanstream_triton_state", _is_in(model, state), name, state)


def _note_result(made: Instruments, result: Result) -> None:
    lane = result.lane
    made.count("scanstream_frames_total", lane, result.status)
    # A clock behind the gateway's must not make a sum fall: Prometheus takes that for a restart.
    latency_s = max(0, result.published_ns - result.accepted_ns) / 1e9
    made.observe("scanstream_frame_latency_seconds", latency_s, lane)
    for stage, ms in result.stages_ms.items():
        made.observe("scanstream_stage_seconds", ms / 1e3, stage, lane)
    if result.published_ns > result.deadline_ms * 1_000_000:
        made.count("scanstream_deadline_missed_total", lane)
    if (model := result.model) is not None:
        made.show_only("scanstream_model_info", model.name, model.version, model.precision)


def _age_s(accepted_ns: int | None) -> float:
    return 0.0 if accepted_ns is None else max(0.0, (time.time_ns() - accepted_ns) / 1e9)


def _is_in(model: Reached, state: str) -> Callable[[], bool]:
    return lambda: model.state == state
