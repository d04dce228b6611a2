"""The Kafka target, and the reader of results that other targets share with it.

confluent-kafka does the work of both in C, on threads of its own, so that the generator is not
what is measured.
"""

from __future__ import annotations

import threading
import time
from typing import Any

import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from engine.messages import DEAD_LETTER, RESULTS, TOPIC_OF_LANE, FrameMessage
from perf.load.target import Answer, Answered, TargetFailed

CONFIRM_S = 10.0
POLL_S = 0.02
RECORDS_A_POLL = 64


class _Named(msgspec.Struct):
    id: str


class _Record(msgspec.Struct):
    """The part of a result, or of a dead letter, that a load needs."""

    frame: _Named | None = None
    status: str = "dead-letter"


class Results:
    """Reads results and dead letters, as a consumer does, from when it is started.

    Answers to frames of others are passed on too; the generator knows its own.
    """

    def __init__(self, broker: str) -> None:
        self._broker = broker
        self._stop = threading.Event()
        self._failure: Exception | None = None
        self._decode = msgspec.json.Decoder(_Record).decode

    def start(self, answered: Answered) -> None:
        """Connect and read on a thread of its own; raise `TargetFailed`."""
        try:
            self._consumer = self._subscribed()
        except KafkaException as error:
            raise TargetFailed(f"{self._broker} does not answer: {error.args[0].name()}") from error
        self._reader = threading.Thread(target=self._read, args=(answered,), daemon=True)
        self._reader.start()

    def check(self) -> None:
        """Raise `TargetFailed` where the results cannot be read any more."""
        if self._failure is not None:
            raise TargetFailed(f"results cannot be read: {self._failure}") from self._failure

    def close(self) -> None:
        """Stop reading, and disconnect; raise as `check` does."""
        self._stop.set()
        self._reader.join()
        self._consumer.close()
        self.check()

    def _subscribed(self) -> Consumer:
        """Return a consumer at the ends of the topics of answers."""
        consumer = Consumer(
            {
                "bootstrap.servers": self._broker,
                "group.id": "perf-load",  # librdkafka wants one; no offset is ever committed
                "enable.auto.commit": False,
                "fetch.wait.max.ms": 50,
                "log_level": 0,
            }
        )
        ends = []
        for topic in (RESULTS, DEAD_LETTER):
            known = consumer.list_topics(topic, timeout=CONFIRM_S).topics[topic]
            for number in known.partitions:
                at = TopicPartition(topic, number)
                _, at.offset = consumer.get_watermark_offsets(at, timeout=CONFIRM_S)
                ends.append(at)
        if not ends:
            raise TargetFailed(f"{self._broker} has no topic {RESULTS}")
        consumer.assign(ends)
        return consumer

    def _read(self, answered: Answered) -> None:
        try:
            while not self._stop.is_set():
                records = next_records(self._consumer)
                at_s = time.monotonic()
                for record in records:
                    if (answer := self._answer(record, at_s)) is not None:
                        answered(answer)
        except Exception as error:  # told by whoever sends or closes next
            self._failure = error

    def _answer(self, record: Message, at_s: float) -> Answer | None:
        if (error := record.error()) is not None:
            raise KafkaException(error)
        value = record.value() or b""
        found = self._decode(value)
        return Answer(found.frame.id, at_s, found.status, value) if found.frame else None


class Kafka:
    """Frames as the gateway publishes them, results as a consumer reads them."""

    def __init__(self, broker: str) -> None:
        self._broker = broker
        self._refused: list[str] = []
        self._results = Results(broker)

    def start(self, answered: Answered) -> None:
        """Connect, and read results and dead letters from here on."""
        self._producer = Producer(
            {
                "bootstrap.servers": self._broker,
                "acks": "all",
                "linger.ms": 0,
                "message.max.bytes": 16 * 1024 * 1024,
                "queue.buffering.max.kbytes": 1024 * 1024,
                "message.timeout.ms": int(CONFIRM_S * 1000),
                "log_level": 0,
            }
        )
        self._results.start(answered)

    def send(self, frame: FrameMessage) -> None:
        """Queue one record; a queue that is full is the generator's lag, and counted as such."""
        self._results.check()
        key, value, headers = frame.to_kafka()
        topic = TOPIC_OF_LANE[frame.lane]
        while True:
            try:
                self._producer.produce(
                    topic, value=value, key=key, headers=dict(headers), on_delivery=self._delivered
                )
            except BufferError:
                self._producer.poll(POLL_S)
                continue
            break
        self._producer.poll(0)

    def close(self) -> None:
        """Wait for the confirmations, and stop reading."""
        unsent = self._producer.flush(CONFIRM_S)
        self._results.close()
        if unsent or self._refused:
            why = ", ".join(sorted(set(self._refused)))
            raise TargetFailed(
                f"the broker confirmed all but {unsent + len(self._refused)} frames: {why}"
            )

    def _delivered(self, error: KafkaError | None, _: Any) -> None:
        if error is not None:
            self._refused.append(error.name())


def next_records(consumer: Consumer) -> list[Message]:
    """Wait at most `POLL_S` for a record; return it as soon as it is there, with what lies behind.

    `consume(many, timeout)` alone returns only when all of them are there or the time is up: every
    answer would be seen up to `POLL_S` late (measured: 10 ms in the median).
    """
    if (first := consumer.poll(POLL_S)) is None:
        return []
    return [first, *consumer.consume(RECORDS_A_POLL - 1, timeout=0)]
