"""Three ways from Kafka to an array: `python -m perf.baselines.kafka_readers KIND BROKER COUNT`.

Each reads COUNT frames of native pixels from the beginning of the frames topic, as a group of its
own, and prints one line of JSON: the seconds from the assignment of its partitions, when nothing
was fetched yet, to the last array, the processor seconds of the same span, and the SHA-256 of the
values of the first arrays by frame id.

`worker` is our worker up to the decoded pixels, with everything around it: its Faust app, budget,
threads, order and acknowledgement. `confluent` is confluent-kafka's batch consumption, `stock` a
Faust agent over raw bytes at Faust's defaults; both only wrap the bytes, which stay read-only.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
import signal
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import Any

import msgspec
import numpy as np

from engine.config import Settings
from engine.decode import decode
from engine.messages import FRAMES, FrameInfo, FrameMessage, FrameRef, Result
from perf.load.copies import copied_bytes

Array = np.ndarray[Any, np.dtype[Any]]
BATCH, POLL_S, CHECKED = 32, 1.0, 8
MAX_FRAME_BYTES = 2**26


class Span(msgspec.Struct):
    """What a reader prints. `copied` is bytes, 0 where nobody counts (`perf.load.copies`)."""

    frames: int
    seconds: float
    cpu_s: float
    copied: int
    digests: dict[str, str]


class Count:
    """Counts arrays, and keeps a few to be compared afterwards."""

    def __init__(self, wanted: int) -> None:
        self._wanted = wanted
        self._got = 0
        self._kept: dict[str, Array] = {}
        self._begun = False

    @property
    def left(self) -> int:
        """How many arrays are still to come."""
        return self._wanted - self._got

    def begin(self, *_: Any, **__: Any) -> None:
        """Start the clocks: the partitions have just been assigned."""
        self._begun, self._copied = True, copied_bytes()
        self._start_s, self._start_cpu_s = time.perf_counter(), time.process_time()

    def add(self, frame_id: str, pixels: Array) -> bool:
        """Count one array; True with the last one, which also prints the line."""
        if not self._begun:
            raise RuntimeError("an array came before the partitions were assigned")
        self._got += 1
        if len(self._kept) < CHECKED:
            self._kept[frame_id] = pixels
        if self._got == self._wanted:
            self._print()
        return self._got >= self._wanted

    def _print(self) -> None:
        seconds = time.perf_counter() - self._start_s
        cpu_s = time.process_time() - self._start_cpu_s
        copied = copied_bytes() - self._copied
        digests = {name: digest_of(pixels) for name, pixels in self._kept.items()}
        line = msgspec.json.encode(Span(self._got, seconds, cpu_s, copied, digests)) + b"\n"
        sys.stdout.buffer.write(line)
        sys.stdout.flush()


def digest_of(pixels: Array) -> str:
    """Return the SHA-256 of an array's shape and values as uint16."""
    values = np.ascontiguousarray(pixels.astype("<u2", copy=False))
    return hashlib.sha256(f"{pixels.shape}".encode() + values.tobytes()).hexdigest()


def wrapped(value: bytes | None, headers: Any) -> tuple[str, Array]:
    """Return the frame's id and its pixels as a view of the record's own bytes."""
    found = dict(headers)
    info = msgspec.json.decode(found["x-frame"], type=FrameInfo)
    pixels = np.frombuffer(value or b"", "<u2").reshape(info.rows, info.columns)
    return found["ce_id"].decode(), pixels


def confluent(broker: str, count: Count) -> None:
    """Consume in batches with confluent-kafka, at its defaults."""
    from confluent_kafka import Consumer

    consumer = Consumer(
        {
            "bootstrap.servers": broker,
            "group.id": _group(),
            "auto.offset.reset": "earliest",
            "session.timeout.ms": 6000,
            "log_level": 0,
        }
    )
    consumer.subscribe([FRAMES], on_assign=count.begin)
    done = False
    while not done:
        # never more than are left: it would wait out `POLL_S` for a batch that cannot fill up
        for record in consumer.consume(min(BATCH, count.left), timeout=POLL_S):
            if record.error() is None:
                done = count.add(*wrapped(record.value(), record.headers()))
    consumer.close()


def stock(broker: str, count: Count) -> None:
    """Run a Faust agent over raw bytes at Faust's defaults."""
    app = _faust_app(broker)
    app.on_partitions_assigned.connect(count.begin)
    topic = app.topic(FRAMES, key_type=bytes, value_type=bytes, value_serializer="raw")

    @app.agent(topic)  # type: ignore[untyped-decorator]
    async def take(stream: Any) -> None:
        async for event in stream.events():
            if count.add(*wrapped(event.message.value, event.message.headers)):
                os.kill(os.getpid(), signal.SIGTERM)

    _execute(app)


def worker(broker: str, count: Count) -> None:
    """Run our worker with decoding as its only stage, and nobody to publish to."""
    # by name: perf and streams stand beside each other, and nothing but this measures its inside
    streams, budgets, holds, takers = (
        import_module(f"streams.{name}") for name in ("base", "budget", "hold", "worker")
    )
    settings = Settings(broker=broker)
    app = streams.new_app(_group(), settings)
    app.on_partitions_assigned.connect(count.begin)
    topic = app.topic(FRAMES, key_type=bytes, value_type=bytes, value_serializer="raw")
    pool = ThreadPoolExecutor(settings.compute_threads)

    async def process(message: FrameMessage) -> Result:
        loop = asyncio.get_running_loop()
        pixels = await loop.run_in_executor(pool, _decoded, message)
        if count.add(message.id, pixels):
            os.kill(os.getpid(), signal.SIGTERM)
        return _blank(message)

    async def publish(outcome: Any) -> None:
        """Take it for published."""

    @app.agent(topic)  # type: ignore[untyped-decorator]
    async def take(stream: Any) -> None:
        budget = budgets.Budget(
            max_bytes=settings.inflight_bytes, max_frames=settings.inflight_frames
        )
        taker = takers.FrameWorker(
            process,
            publish,
            generation=lambda: int(app.consumer_generation_id),
            budget=budget,
            hold=holds.Hold(max_s=settings.backoff_max_s),
            tries=settings.tries,
            max_record_bytes=2**22,
        )
        async for event in stream.noack().events():
            await taker.take(event.message, event.ack)

    _execute(app)


def _decoded(message: FrameMessage) -> Array:
    return decode(message, max_frame_bytes=MAX_FRAME_BYTES)


def _blank(message: FrameMessage) -> Result:
    """Return a result without findings, as for a frame that no route takes."""
    return Result(
        id="0" * 32,
        frame=FrameRef.of(message),
        route="",
        lane=message.lane,
        status="unrouted",
        accepted_ns=message.accepted_ns,
        deadline_ms=message.deadline_ms,
        published_ns=0,
        traceparent=message.traceparent,
    )


def _faust_app(broker: str) -> Any:
    import faust

    return faust.App(
        _group(),
        broker=f"kafka://{broker}",
        autodiscover=False,
        store="memory://",
        datadir=tempfile.mkdtemp(prefix="perf-stock-"),
        web_enabled=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        broker_rebalance_timeout=6.0,  # the pip broker holds a joining group for half of it
        broker_session_timeout=6.0,
        broker_heartbeat_interval=1.0,
    )


def _execute(app: Any) -> None:
    import faust

    faust.Worker(
        app, loglevel="ERROR", redirect_stdouts=False, quiet=True
    ).execute_from_commandline()


def _group() -> str:
    return f"perf-{secrets.token_hex(6)}"


def main(kind: str, broker: str, frames: str) -> None:
    """Run one reader."""
    import mode.loop

    mode.loop.use("uvloop")
    {"worker": worker, "confluent": confluent, "stock": stock}[kind](broker, Count(int(frames)))


if __name__ == "__main__":
    main(*sys.argv[1:])
