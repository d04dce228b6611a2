"""Traces: who is whose child, what links to what, and that nothing names a patient."""

from __future__ import annotations

import secrets
import subprocess
import sys
from collections.abc import Iterator

import pytest
from frame_messages import frame
from msgspec.structs import replace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode
from outcomes import letter, published

from engine.config import Settings
from engine.errors import ConfigError
from engine.messages import FrameMessage, FrameRef
from engine.metrics import BatchTimes, FrameLink, StageTimes
from engine.observe.gateway import GatewayNotes
from engine.observe.spans import FrameContext, Spans, to_collector
from engine.observe.worker import WorkerNotes

MS = 1_000_000
STAGES = ("transport", "decode", "infer")


class Trace:
    """Spans that end in memory."""

    def __init__(self, ratio: float = 1.0) -> None:
        self._exporter = InMemorySpanExporter()
        processor = SimpleSpanProcessor(self._exporter)
        self.spans = Spans(processor, service="test", ratio=ratio)
        self.worker = WorkerNotes("bulk", None, self.spans)
        self.gateway = GatewayNotes(None, self.spans)

    def found(self) -> dict[str, ReadableSpan]:
        """Return what has ended since the last call, by name."""
        ended = self._exporter.get_finished_spans()
        self._exporter.clear()
        by_name = {span.name: span for span in ended}
        assert len(by_name) == len(ended)
        return by_name

    def carry(self, message: FrameMessage) -> None:
        """Note one frame on its whole way, from 1,000 ms to 1,100 ms."""
        self.gateway.confirmed([message])
        times = StageTimes()
        for at, stage in enumerate(STAGES):
            times.ms[stage], times.began_ns[stage] = 10.0, (1000 + 10 * at) * MS
        self.worker.computed(message, times)
        link = FrameLink(message.traceparent, message.id)
        self.worker.batch(BatchTimes("cine", (link,), 1020 * MS, 1030 * MS))
        self.worker.published(
            published(
                frame=FrameRef.of(message),
                traceparent=message.traceparent,
                accepted_ns=1000 * MS,
                published_ns=1100 * MS,
                stages_ms=dict.fromkeys(STAGES, 10.0) | {"release": 70.0},
            )
        )


@pytest.fixture
def trace() -> Iterator[Trace]:
    made = Trace()
    yield made
    made.spans.close()


def message(number: int = 1, *, traceparent: str | None = None) -> FrameMessage:
    """Return a frame as the gateway makes it."""
    made = frame(b"\0\0", rows=1, columns=1, frame_number=number)
    given = traceparent or f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"
    return replace(made, traceparent=given, accepted_ns=1000 * MS)


def test_a_frame_is_one_trace_from_accepted_to_published(trace: Trace) -> None:
    one = message()
    trace.carry(one)
    found = trace.found()
    assert set(found) == {"accept", "frame", "batch", "release", *STAGES}
    accept, whole, batch = found["accept"], found["frame"], found["batch"]
    version, trace_id, parent_id, _ = one.traceparent.split("-")
    assert version == "00"
    assert f"{accept.context.trace_id:032x}" == trace_id
    assert f"{accept.context.span_id:016x}" == parent_id
    assert accept.parent is None
    assert whole.parent.span_id == accept.context.span_id
    assert (whole.start_time, whole.end_time) == (1000 * MS, 1100 * MS)
    for stage in (*STAGES, "release"):
        assert found[stage].context.trace_id == whole.context.trace_id
        assert found[stage].parent.span_id == whole.context.span_id
    assert (found["infer"].start_time, found["infer"].end_time) == (1020 * MS, 1030 * MS)
    assert (found["release"].start_time, found["release"].end_time) == (1030 * MS, 1100 * MS)
    (link,) = batch.links
    assert link.context.trace_id == whole.context.trace_id
    assert link.context.span_id == whole.context.span_id
    assert batch.context.trace_id != whole.context.trace_id
    assert batch.attributes["scanstream.batch_size"] == 1


def test_a_frame_that_is_computed_again_has_the_same_ids(trace: Trace) -> None:
    one = message()
    ids = []
    for _ in range(2):
        trace.carry(one)
        found = trace.found()
        del found["batch"]
        ids.append({name: span.context.span_id for name, span in found.items()})
    assert ids[0] == ids[1]
    assert len(set(ids[0].values())) == len(ids[0])


def test_frames_of_one_producer_that_share_a_traceparent_are_told_apart() -> None:
    shared = message().traceparent
    contexts = [FrameContext.of(FrameLink(shared, f"1.2/{number}")) for number in range(9)]
    assert len({one.span_id for one in contexts if one}) == 9


@pytest.mark.parametrize(
    "traceparent",
    ["junk", "00-" + "0" * 32 + "-" + "1" * 16 + "-01", "ff-" + "1" * 32 + "-" + "1" * 16 + "-01"],
)
def test_a_traceparent_that_is_not_valid_begins_a_trace(trace: Trace, traceparent: str) -> None:
    trace.carry(message(traceparent=traceparent))
    found = trace.found()
    assert "accept" not in found
    assert found["frame"].parent is None
    assert found["infer"].context.trace_id == found["frame"].context.trace_id != 0
    assert found["infer"].parent.span_id == found["frame"].context.span_id


def test_what_is_not_sampled_has_no_spans(trace: Trace) -> None:
    trace.carry(message(traceparent=f"00-{'1' * 32}-{'1' * 16}-00"))
    assert trace.found() == {}


def test_a_share_of_the_traces_is_kept_whole() -> None:
    half = Trace(ratio=0.5)
    kept = 0
    for number in range(1, 201):
        half.carry(message(number))
        found = half.found()
        assert set(found) in (set(), {"accept", "frame", "batch", "release", *STAGES})
        kept += bool(found)
    half.spans.close()
    assert 50 < kept < 150


def test_a_dead_letter_is_an_error_without_stages(trace: Trace) -> None:
    one = message()
    ended = letter(
        frame=FrameRef.of(one),
        traceparent=one.traceparent,
        accepted_ns=1000 * MS,
        failed_ns=1200 * MS,
    )
    trace.worker.published(ended)
    (whole,) = trace.found().values()
    assert whole.status.status_code is StatusCode.ERROR
    assert whole.attributes["scanstream.reason"] == "decode-failed"
    assert (whole.start_time, whole.end_time) == (1000 * MS, 1200 * MS)
    trace.worker.published(letter())
    assert trace.found() == {}, "a record that was no frame has no trace"


def test_no_span_holds_a_uid(trace: Trace) -> None:
    one = message()
    trace.carry(one)
    text = "".join(span.to_json() for span in trace.found().values())
    info = one.info
    for uid in (info.sop_instance_uid, info.series_instance_uid, info.study_instance_uid):
        assert uid not in text


def test_off_unless_asked_for() -> None:
    assert to_collector(Settings(), "test") is None


def test_nothing_of_opentelemetry_is_needed_while_it_is_off() -> None:
    code = (
        "import sys; sys.modules['opentelemetry'] = None;"  # an import of it would fail
        "from engine.config import Settings; from engine.observe.role import Shown;"
        "shown = Shown('worker', Settings()); shown.start(); shown.close()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace.export", None)
    with pytest.raises(ConfigError, match=r"pip install 'scanstream\[trace\]'"):
        to_collector(Settings(otel_endpoint="http://127.0.0.1:9"), "test")
