"""Frames straight onto the topic, some of which cannot be done."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence

from confluent_kafka import Producer
from msgspec.structs import replace

from engine.messages import FRAMES, FrameMessage
from perf.load.frames import Frames

Spoil = Callable[[Producer, FrameMessage], None]
CONFIRM_S = 60.0
BUDGET_MS = 60_000.0


def raising(producer: Producer, frame: FrameMessage) -> None:
    """Publish a frame whose pixels are cut short: decoding raises at every try."""
    _publish(producer, replace(frame, value=frame.value[: len(frame.value) // 2]))


def poison(producer: Producer, frame: FrameMessage) -> None:
    """Publish what is no frame at all, on the partition of its series."""
    key, _, _ = frame.to_kafka()
    producer.produce(FRAMES, value=b"\x80\x04N.", key=key)  # a pickle, of None


def publish(
    broker: str,
    samples: Sequence[FrameMessage],
    count: int,
    rate_hz: float,
    *,
    share: float = 0.0,
    spoil: Spoil = raising,
    seed: int = 1,
) -> tuple[dict[str, int], list[str]]:
    """Publish `count` frames at a steady rate, each `share` of them spoiled, by lot.

    Return when each whole one was due (Unix, ns), by its id, and the ids of the spoiled ones.
    Raise `TimeoutError` when the broker does not confirm all.
    """
    lot, frames, wait = random.Random(seed), Frames(samples), threading.Event()
    producer = Producer({"bootstrap.servers": broker, "acks": "all", "linger.ms": 0})
    whole: dict[str, int] = {}
    spoiled: list[str] = []
    start_ns = time.time_ns()
    for number in range(count):
        due_ns = start_ns + round(number * 1e9 / rate_hz)
        wait.wait(max(0.0, (due_ns - time.time_ns()) / 1e9))
        _, frame = frames.next(due_ns, BUDGET_MS)
        if lot.random() < share:
            spoiled.append(frame.id)
            spoil(producer, frame)
        else:
            whole[frame.id] = due_ns
            _publish(producer, frame)
        producer.poll(0)
    if left := producer.flush(CONFIRM_S):
        raise TimeoutError(f"{left} records are not confirmed")
    return whole, spoiled


def _publish(producer: Producer, frame: FrameMessage) -> None:
    key, value, headers = frame.to_kafka()
    producer.produce(FRAMES, value=value, key=key, headers=dict(headers))
