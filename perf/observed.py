"""What being observed costs a frame: `python -m perf.observed` (pin it: `taskset -c 1`).

The worker's notes of one frame, as the hooks in its path make them: in a batch of 8, with all eight
stages, and with their timers, which run whether or not anything is on. No server is needed: scrapes
and the exporter's sending run in other threads, and are not part of a frame; the time that a scrape
takes is shown beside it. All of it is processor time of the thread that does it.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import msgspec
from opentelemetry.sdk.trace import SpanProcessor
from prometheus_client import generate_latest

from engine.messages import FrameInfo, FrameMessage, FrameRef, ModelRef, Result
from engine.metrics import STAGES, BatchTimes, FrameLink, StageTimes
from engine.observe.instruments import Instruments
from engine.observe.spans import Spans
from engine.observe.worker import WorkerNotes

ROUNDS, FRAMES, BATCH = 15, 800, 8


def frame() -> tuple[FrameMessage, Result]:
    """Return a frame as the worker has it when it is published."""
    info = FrameInfo(
        sop_class_uid="1.2.840.10008.5.1.4.1.1.4",
        sop_instance_uid="2.25.1",
        study_instance_uid="2.25.2",
        series_instance_uid="2.25.3",
        frame_number=1,
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        rows=256,
        columns=256,
        bits_allocated=16,
        bits_stored=12,
        high_bit=11,
        photometric_interpretation="MONOCHROME2",
    )
    message = FrameMessage(
        info=info,
        value=bytes(16),
        source="/dicom/X",
        time="2026-01-01T00:00:00Z",
        traceparent=f"00-{'1' * 32}-{'2' * 16}-01",
        accepted_ns=time.time_ns(),
        deadline_ms=0,
    )
    result = Result(
        id="0" * 32,
        frame=FrameRef.of(message),
        route="cine",
        lane="bulk",
        model=ModelRef(name="cine", version="1", digest="0" * 64, precision="int8"),
        status="ok",
        stages_ms=dict.fromkeys(STAGES, 5.0),
        accepted_ns=message.accepted_ns,
        deadline_ms=0,
        published_ns=message.accepted_ns + 50_000_000,
        traceparent=message.traceparent,
    )
    return message, result


def _timed() -> StageTimes:
    times = StageTimes()
    for stage in STAGES[:-1]:
        times.add(stage, 5.0)
    return times


def cost_us(notes: WorkerNotes) -> float:
    """Return the microseconds that the notes of a frame take: the median of `ROUNDS` means."""
    message, result = frame()
    means, links = [], list[FrameLink]()
    for _ in range(ROUNDS):
        start = time.thread_time()
        for number in range(FRAMES):
            links.append(FrameLink(message.traceparent, message.id))
            notes.computed(message, _timed())
            if number % BATCH == BATCH - 1:
                notes.batch(BatchTimes("cine", tuple(links), 1, 2))
                links.clear()
            notes.published(result)
        means.append((time.thread_time() - start) / FRAMES * 1e6)
    return statistics.median(means)


def _timed_ms(work: Callable[[], object]) -> float:
    start = time.thread_time()
    work()
    return (time.thread_time() - start) * 1e3


def main() -> None:
    """Print one line of JSON: microseconds a frame, and milliseconds a scrape."""
    made = Instruments("worker")
    counted = cost_us(WorkerNotes("bulk", made, None))
    scrape_ms = statistics.median(_timed_ms(lambda: generate_latest(made.registry)) for _ in "123")
    every = Spans(SpanProcessor(), service="cost")
    none = Spans(SpanProcessor(), service="cost", ratio=0.0)
    found = {
        "off_us": cost_us(WorkerNotes("bulk", None, None)),
        "metrics_us": counted,
        "spans_us": cost_us(WorkerNotes("bulk", None, every)),
        "spans_not_kept_us": cost_us(WorkerNotes("bulk", None, none)),
        "scrape_ms": scrape_ms,
    }
    print(msgspec.json.encode({name: round(value, 2) for name, value in found.items()}).decode())


if __name__ == "__main__":
    main()
