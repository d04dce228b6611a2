"""Everything that comes out while things die: results and dead letters, repeats included."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Collection
from typing import NamedTuple

import msgspec
from confluent_kafka import Consumer, TopicPartition

from engine.messages import DEAD_LETTER, RESULTS, DeadLetter, Result
from perf.load.target_kafka import CONFIRM_S, next_records

_RESULT, _DEAD = msgspec.json.Decoder(Result), msgspec.json.Decoder(DeadLetter)


class Seen(NamedTuple):
    """One result as it came first, and when (`time.monotonic`)."""

    at_s: float
    result: Result


class Watcher:
    """`with Watcher(broker) as watcher`: reads from the beginning, whatever the broker does.

    `results` and `dead` have what came first, by frame; `repeats` counts what came again.
    """

    def __init__(self, broker: str) -> None:
        self._broker = broker
        self._over = threading.Event()
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._read, name="watcher", daemon=True)
        self._failure: Exception | None = None
        self.results: dict[str, Seen] = {}
        self.dead: dict[str, DeadLetter] = {}
        self.repeats = 0

    def __enter__(self) -> Watcher:
        self._consumer = self._subscribed()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._consumer.close()
        if self._failure is not None:
            raise self._failure

    def wait(self, frames: Collection[str], limit_s: float) -> set[str]:
        """Wait until every frame has an end; return those that have none after `limit_s`."""
        left = set(frames)

        def done() -> bool:
            nonlocal left
            left = {one for one in left if one not in self.results and one not in self.dead}
            return not left or self._failure is not None

        with self._changed:
            self._changed.wait_for(done, limit_s)
        return left

    def inversions(self) -> int:
        """Count results that came after a later one of their series, repeats left out.

        The order of sending is in the instances' UIDs (`perf.load.frames`).
        """
        highest: dict[str, int] = defaultdict(int)
        found = 0
        for seen in list(self.results.values()):
            frame = seen.result.frame
            number = int(frame.sop_instance_uid.rpartition(".")[2])
            found += number < highest[frame.series_instance_uid]
            highest[frame.series_instance_uid] = max(number, highest[frame.series_instance_uid])
        return found

    def _subscribed(self) -> Consumer:
        consumer = Consumer(
            {
                "bootstrap.servers": self._broker,
                "group.id": "perf-chaos",  # librdkafka wants one; no offset is ever committed
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 50,
                "reconnect.backoff.max.ms": 500,
                "log_level": 0,
            }
        )
        consumer.assign(
            [
                TopicPartition(topic, number, 0)
                for topic in (RESULTS, DEAD_LETTER)
                for number in consumer.list_topics(topic, CONFIRM_S).topics[topic].partitions
            ]
        )
        return consumer

    def _read(self) -> None:
        try:
            while not self._over.is_set():
                for record in next_records(self._consumer):
                    if record.error() is None:  # a node that is away is what this is about
                        self._take(record.topic() or "", record.value() or b"")
        except Exception as error:  # raised again at the end
            self._failure = error
            with self._changed:
                self._changed.notify_all()

    def _take(self, topic: str, value: bytes) -> None:
        with self._changed:
            if topic == RESULTS:
                result = _RESULT.decode(value)
                self.repeats += result.frame.id in self.results
                self.results.setdefault(result.frame.id, Seen(time.monotonic(), result))
            else:
                letter = _DEAD.decode(value)
                name = letter.frame.id if letter.frame else letter.id
                self.repeats += name in self.dead
                self.dead.setdefault(name, letter)
            self._changed.notify_all()
