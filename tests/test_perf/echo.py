"""A worker that only answers: for loads that need no model."""

from __future__ import annotations

import json
import threading
from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition

from engine.messages import DEAD_LETTER, FRAMES, FRAMES_STAT, RESULTS, FrameMessage


class Echo:
    """Answers every frame on the broker with a result, as a worker does; every fifth is dead."""

    def __init__(self, address: str) -> None:
        self.address = address
        common = {"bootstrap.servers": address, "log_level": 0}
        self._producer = Producer(common)
        options = {"group.id": "echo", "enable.auto.commit": False, "fetch.wait.max.ms": 10}
        self._consumer = Consumer({**common, **options})
        self._consumer.assign(
            [
                TopicPartition(topic, number, 0)
                for topic in (FRAMES, FRAMES_STAT)
                for number in self._consumer.list_topics(topic, timeout=10).topics[topic].partitions
            ]
        )
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.taken: list[FrameMessage] = []

    def __enter__(self) -> Echo:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._consumer.close()
        self._producer.flush(5)

    def _run(self) -> None:
        while not self._stop.is_set():
            for message in self._consumer.consume(32, timeout=0.05):
                if message.error() is None:
                    self._answer(message.value() or b"", message.headers())
            self._producer.poll(0)

    def _answer(self, value: bytes, headers: Any) -> None:
        frame = FrameMessage.from_kafka(value, headers)
        self.taken.append(frame)
        about: dict[str, Any] = {"frame": {"id": frame.id}}
        dead = len(self.taken) % 5 == 0
        if not dead:
            about["status"] = "ok"
        topic = DEAD_LETTER if dead else RESULTS
        for _ in range(2):  # delivery is at least once
            self._producer.produce(topic, value=json.dumps(about), key=b"k")
