"""Row 8: frames of 0.5 MB from Kafka to an array, in the worker, against two readers of raw bytes.

The frames are 512 x 512, 16 bits, native, without the wire codec, and lie on the broker before
anything is measured. Every round starts each reader anew, as a group of its own, and counts from
the assignment of its partitions to its last array: a reader that has fetched ahead gains nothing.
"""

from __future__ import annotations

import os
import selectors
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from engine.config import Settings
from engine.messages import FRAMES, FrameMessage
from perf.baselines import decode as codecs
from perf.baselines.kafka_readers import Span, digest_of
from perf.compare.case import Entry, InTurn, Load
from perf.compare.turns import in_turn
from perf.load import stacks
from perf.load.copies import counting
from perf.load.frames import Frames

Array = np.ndarray[Any, np.dtype[Any]]
FRAME_COUNT, ROUNDS, LIMIT_S = 800, 4, 90.0
MODULE = "perf.baselines.kafka_readers"
SIDE = 512
_BY_FAUST = (
    "Ours checks, bounds, orders and acknowledges each frame and decodes it, on the same Faust; "
    "both copy a frame six times, in aiokafka."
)


def cases() -> list[Entry]:
    """Return the rows."""
    rivals = {
        "confluent": ("confluent-kafka, batch consume, bytes wrapped as an array", 0.5),
        "stock": ("a stock Faust agent on raw bytes, its defaults, bytes wrapped", 1.5),
    }
    return [
        Load(
            name=f"kafka/{name}" if name == "confluent" else "kafka/stock-faust",
            rival=rival,
            unit="MB/s",
            target=target,
            measure=_measuring(name),
            bound=_BY_FAUST,
        )
        for name, (rival, target) in rivals.items()
    ]


def _measuring(rival: str) -> Callable[[Callable[[str], None]], InTurn]:
    return lambda progress: measure(rival, progress)


def measure(
    rival: str,
    progress: Callable[[str], None],
    *,
    frames: int = FRAME_COUNT,
    rounds: int = ROUNDS,
) -> InTurn:
    """Compare the worker with `rival`, "confluent" or "stock", on a broker of its own."""
    pixels = codecs.frames(count=4)
    megabytes = pixels[0].nbytes / 1e6
    with stacks.broker_only(Settings()) as broker:
        digests = publish(broker, pixels, frames)
        spans: dict[str, list[Span]] = {"worker": [], rival: []}

        def rate(kind: str) -> float:
            span = read(kind, broker, frames)
            spans[kind].append(span)
            return span.frames * megabytes / span.seconds

        found = in_turn(lambda: rate("worker"), lambda: rate(rival), rounds, progress)
        copies = {kind: _copies(kind, broker, frames, pixels[0].nbytes) for kind in spans}
    equal = all(_agree(one.digests, digests) for each in spans.values() for one in each)
    cpu_ms = {
        kind: 1e3 * sum(one.cpu_s for one in each) / sum(one.frames for one in each)
        for kind, each in spans.items()
    }
    note = (
        f"{SIDE} x {SIDE}, 16 bits, native, {frames} frames a round; bit-exact: {equal}; processor "
        f"ms a frame {cpu_ms['worker']:.2f} against {cpu_ms[rival]:.2f}; times that a frame's "
        f"bytes are copied, from the socket on: {copies['worker']} against {copies[rival]}"
    )
    return InTurn(found, equal, note)


def _agree(found: Mapping[str, str], published: Mapping[str, str]) -> bool:
    return bool(found) and all(published.get(name) == digest for name, digest in found.items())


def _copies(kind: str, broker: str, frames: int, frame_bytes: int) -> str:
    """Return how often a frame's bytes are copied, in a run of its own that is not timed."""
    with counting() as environ:
        if environ is None:
            return "not counted (no C compiler)"
        span = read(kind, broker, frames, environ)
    return f"{span.copied / span.frames / frame_bytes:.1f}"


def publish(broker: str, pixels: Sequence[Array], frames: int) -> dict[str, str]:
    """Put the frames on the topic; return each one's digest by frame id."""
    from confluent_kafka import Producer

    samples = [_message(one) for one in pixels]
    source, digests = Frames(samples), [digest_of(one) for one in pixels]
    producer = Producer({"bootstrap.servers": broker, "message.max.bytes": 2**24, "log_level": 0})
    found: dict[str, str] = {}
    for _ in range(frames):
        place, frame = source.next(time.time_ns(), 60_000)
        key, value, headers = frame.to_kafka()
        producer.produce(FRAMES, value=value, key=key, headers=dict(headers))
        producer.poll(0)
        found[frame.id] = digests[place]
    if unsent := producer.flush(LIMIT_S):
        raise TimeoutError(f"the broker did not take {unsent} of {frames} frames")
    return found


def _message(pixels: Array) -> FrameMessage:
    return codecs.message(pixels, codecs.NATIVE)


def read(kind: str, broker: str, frames: int, environ: Mapping[str, str] | None = None) -> Span:
    """Run one reader to its end; raise `RuntimeError` where it does not get there."""
    words = [sys.executable, "-m", MODULE, kind, broker, str(frames)]
    reader = subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environ and dict(environ)
    )
    try:
        return msgspec.json.decode(_line(reader), type=Span)
    finally:
        reader.terminate()
        try:
            reader.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            reader.kill()
            reader.communicate()


def _line(reader: subprocess.Popen[bytes]) -> bytes:
    """Return the reader's line of JSON; Faust shows a spinner on the same output."""
    out, end_s, line = reader.stdout, time.monotonic() + LIMIT_S, b""
    if out is None:
        raise RuntimeError("the reader has no output")
    with selectors.DefaultSelector() as selector:
        selector.register(out, selectors.EVENT_READ)
        # not readline(): a spinner has no end of line, and a reader that hangs would hang us
        while b"}\n" not in line and selector.select(max(0.0, end_s - time.monotonic())):
            if not (more := os.read(out.fileno(), 1 << 16)):
                break
            line += more
    if b"}\n" not in line:
        reader.kill()
        said = reader.communicate()[1].decode(errors="replace").strip().splitlines()
        raise RuntimeError(f"the reader did not finish in {LIMIT_S:.0f} s: {said[-3:]}")
    return line[line.index(b"{") : line.index(b"}\n") + 1]
