"""Traces in OpenTelemetry's form: a frame from accepted to published, its stages, its batch.

The gateway's `accept` span has the id that the frame's `traceparent` header carries; the worker's
`frame` span continues it, and has the stages as its children. A batch is a trace of its own that
links to its frames. The ids of a frame's spans are hashes, so that a span can be the child of one
that is not there yet, and a frame that is computed again gives the same ids, as its result does.

No attribute holds a UID, an AE title or anything of a patient.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from engine.config import Settings
from engine.errors import ConfigError
from engine.messages import DeadLetter, FrameMessage, Lane, Result
from engine.metrics import STAGES, BatchTimes, FrameLink, StageTimes

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor
    from opentelemetry.trace import Link, SpanContext

Attributes: TypeAlias = dict[str, str | int]

TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")  # W3C Trace Context
QUEUE_SPANS = 16_384  # of about 1 KiB; what does not fit is dropped with a warning
CLOSE_LIMIT_S = 3.0  # a collector that is away must not hold up the end of a worker


class FrameContext(NamedTuple):
    """Where a frame is in its trace; `parent_id` is 0 for a trace that begins here."""

    trace_id: int
    parent_id: int
    span_id: int

    @classmethod
    def of(cls, link: FrameLink, bound: int = 2**64) -> FrameContext | None:
        """Continue the frame's `traceparent`; one that breaks the rules begins a trace instead.

        None where it is not sampled, or the lower half of its trace id is not below `bound`.
        """
        found = TRACEPARENT.fullmatch(link.traceparent)
        if found is None or not int(found[1], 16) or not int(found[2], 16):
            trace_id, parent_id, sampled = _hashed(32, *link, "trace"), 0, 1
        else:
            trace_id, parent_id, sampled = (int(part, 16) for part in found.groups())
        if not sampled & 1 or trace_id & (2**64 - 1) >= bound:
            return None
        return cls(trace_id, parent_id, _hashed(16, *link, "frame"))

    def child_id(self, name: str) -> int:
        """Return the id of the span of one stage."""
        return _hashed(16, f"{self.trace_id:032x}", f"{self.span_id:016x}", name)


def _hashed(digits: int, *parts: str) -> int:
    """Return a whole number above 0 of that many hexadecimal digits."""
    return int(hashlib.sha256("\n".join(parts).encode()).hexdigest()[:digits], 16) or 1


class Spans:
    """Makes spans and hands them to `processor`, as a tracer does when they end.

    `ratio` is the share of traces that are kept, chosen by the trace's id as OpenTelemetry's
    TraceIdRatioBased does, so that every process keeps the same ones. There is no tracer: a span is
    known only when it has ended, and its ids are ours to choose, which a tracer does not offer.
    """

    def __init__(self, processor: SpanProcessor, *, service: str, ratio: float = 1.0) -> None:
        from opentelemetry import trace
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import ReadableSpan
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope

        self._api = trace
        self._make = ReadableSpan
        self._processor = processor
        self._bound = round(ratio * 2**64)
        self._resource = Resource.create({"service.name": service})
        self._scope = InstrumentationScope("scanstream")
        self._flags = trace.TraceFlags(trace.TraceFlags.SAMPLED)

    def accepted(self, message: FrameMessage, confirmed_ns: int) -> None:
        """Send the gateway's span of one frame: accepted until the broker has confirmed it."""
        context = FrameContext.of(FrameLink(message.traceparent, message.id), self._bound)
        if context is not None and context.parent_id:
            times_ns = (message.accepted_ns, confirmed_ns)
            said: Attributes = {"scanstream.lane": message.lane}
            self._send("accept", context.trace_id, context.parent_id, 0, times_ns, said, "PRODUCER")

    def stages(self, link: FrameLink, times: StageTimes) -> None:
        """Send the spans of a frame's stages, but `release`, which has not ended."""
        context = FrameContext.of(link, self._bound)
        if context is None:
            return
        for stage in STAGES:
            if stage in times.ms:
                began_ns = times.began_ns[stage]
                self._stage(context, stage, began_ns, began_ns + round(times.ms[stage] * 1e6))

    def frame(self, outcome: Result | DeadLetter, lane: Lane) -> None:
        """Send the span of a frame that is published, and its wait for the frames before it."""
        if outcome.frame is None or outcome.accepted_ns is None:
            return  # a record that was no frame has no trace
        link = FrameLink(outcome.traceparent, outcome.frame.id)
        if (context := FrameContext.of(link, self._bound)) is None:
            return
        failed = isinstance(outcome, DeadLetter)
        ended_ns = outcome.failed_ns if isinstance(outcome, DeadLetter) else outcome.published_ns
        trace_id, parent_id, span_id = context
        times_ns = (outcome.accepted_ns, ended_ns)
        said = _described(outcome) | {"scanstream.lane": lane}
        self._send("frame", trace_id, span_id, parent_id, times_ns, said, "CONSUMER", failed=failed)
        if isinstance(outcome, Result) and "release" in outcome.stages_ms:
            began_ns = ended_ns - round(outcome.stages_ms["release"] * 1e6)
            self._stage(context, "release", began_ns, ended_ns)

    def batch(self, batch: BatchTimes) -> None:
        """Send a batch's span, a trace of its own, with a link to each of its frames."""
        contexts = [FrameContext.of(frame, self._bound) for frame in batch.frames]
        kept = [one for one in contexts if one is not None]
        if kept:
            links = [self._api.Link(self._context(one.trace_id, one.span_id)) for one in kept]
            said: Attributes = {
                "scanstream.model": batch.model,
                "scanstream.batch_size": len(batch.frames),
            }
            times_ns = (batch.began_ns, batch.ended_ns)
            trace_id, span_id = secrets.randbits(128) or 1, secrets.randbits(64) or 1
            self._send("batch", trace_id, span_id, 0, times_ns, said, "CLIENT", links=links)

    def close(self) -> None:
        """Send what is waiting, for at most `CLOSE_LIMIT_S`."""
        ending = threading.Thread(target=self._processor.shutdown, daemon=True)
        ending.start()
        ending.join(CLOSE_LIMIT_S)

    def _stage(self, context: FrameContext, name: str, began_ns: int, ended_ns: int) -> None:
        times_ns = (began_ns, ended_ns)
        self._send(name, context.trace_id, context.child_id(name), context.span_id, times_ns)

    def _send(
        self,
        name: str,
        trace_id: int,
        span_id: int,
        parent_id: int,
        times_ns: tuple[int, int],
        attributes: Attributes | None = None,
        kind: str = "INTERNAL",
        *,
        links: Sequence[Link] = (),
        failed: bool = False,
    ) -> None:
        status = self._api.StatusCode.ERROR if failed else self._api.StatusCode.UNSET
        self._processor.on_end(
            self._make(
                name=name,
                context=self._context(trace_id, span_id),
                parent=self._context(trace_id, parent_id) if parent_id else None,
                resource=self._resource,
                attributes=attributes or {},
                links=links,
                kind=self._api.SpanKind[kind],
                status=self._api.Status(status),
                start_time=times_ns[0],
                end_time=times_ns[1],
                instrumentation_scope=self._scope,
            )
        )

    def _context(self, trace_id: int, span_id: int) -> SpanContext:
        return self._api.SpanContext(trace_id, span_id, is_remote=False, trace_flags=self._flags)


def _described(outcome: Result | DeadLetter) -> Attributes:
    if isinstance(outcome, DeadLetter):
        return {"scanstream.status": "dead-letter", "scanstream.reason": outcome.reason}
    found: Attributes = {
        "scanstream.status": outcome.status,
        "scanstream.route": outcome.route,
    }
    if outcome.model is not None:
        found["scanstream.model"] = outcome.model.name
        found["scanstream.model_version"] = outcome.model.version
    return found


def to_collector(settings: Settings, service: str) -> Spans | None:
    """Return what sends spans to the collector at `otel_endpoint`, None where that is not set.

    Raises `ConfigError` where OpenTelemetry is not installed.
    """
    if not settings.otel_endpoint:
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise ConfigError(
            "setting `otel_endpoint` is set, and OpenTelemetry cannot be imported"
            f" ({error}): pip install 'scanstream[trace]', or unset it"
        ) from None
    exporter = OTLPSpanExporter(endpoint=f"{settings.otel_endpoint.rstrip('/')}/v1/traces")
    processor = BatchSpanProcessor(exporter, max_queue_size=QUEUE_SPANS)
    return Spans(processor, service=service, ratio=settings.otel_ratio)
