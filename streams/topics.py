"""The topics: one table, and the command that creates them (`python -m streams topics`)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from engine.config import Settings
from engine.errors import BrokerUnavailable
from engine.ingest.frames import HEADER_ROOM
from engine.messages import DEAD_LETTER, FRAMES, FRAMES_STAT, RESULTS
from engine.security import client_options
from engine.series import ALERTS, SERIES
from engine.serving import MODELS_TOPIC, SHADOW_TOPIC

SERIES_TABLE = "frames"
DAY_MS = 24 * 3600 * 1000
RECORD_BYTES = 4 * 1024 * 1024  # JSON; a mask as run lengths has about 8 characters a run


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic: what is its key, how long its records are kept, how large they may be.

    `compacted`: only the last record of a key is kept, as a table's changelog needs.
    """

    name: str
    key: str
    retention_ms: int
    max_message_bytes: int
    compacted: bool = False


def table(settings: Settings) -> tuple[Topic, ...]:
    """Return every topic with the sizes that the settings ask for."""
    frame = settings.inline_limit + HEADER_ROOM
    return (
        Topic(FRAMES, "SeriesInstanceUID", DAY_MS, frame),
        Topic(FRAMES_STAT, "SeriesInstanceUID", DAY_MS, frame),
        Topic(RESULTS, "SeriesInstanceUID", 7 * DAY_MS, RECORD_BYTES),
        Topic(SERIES, "SeriesInstanceUID", 30 * DAY_MS, RECORD_BYTES),
        Topic(ALERTS, "SeriesInstanceUID", 30 * DAY_MS, RECORD_BYTES),
        Topic(DEAD_LETTER, "SeriesInstanceUID", 30 * DAY_MS, RECORD_BYTES),
        Topic(MODELS_TOPIC, "model's name", DAY_MS, RECORD_BYTES, compacted=True),
        Topic(SHADOW_TOPIC, "SeriesInstanceUID", 7 * DAY_MS, RECORD_BYTES),
        Topic(changelog(settings), "series and frame", DAY_MS, RECORD_BYTES, compacted=True),
    )


def series_app(settings: Settings) -> str:
    """Return the id, and consumer group, of the app that measures series."""
    return f"{settings.group}-series"


def changelog(settings: Settings) -> str:
    """Return the topic in which Faust keeps the series app's table."""
    return f"{series_app(settings)}-{SERIES_TABLE}-changelog"


def max_message_bytes(settings: Settings) -> int:
    """Return the largest record on any topic: what every client must be able to carry."""
    return max(topic.max_message_bytes for topic in table(settings))


async def ensure(settings: Settings) -> list[str]:
    """Create the topics that are missing; return their names. Raise `BrokerUnavailable`."""
    admin = AIOKafkaAdminClient(**client_options(settings), request_timeout_ms=10_000)
    try:
        await admin.start()
        response = await admin.create_topics([_new(topic, settings) for topic in table(settings)])
    except (KafkaError, OSError) as error:
        raise BrokerUnavailable(
            f"no broker answers at {settings.broker} ({type(error).__name__}):"
            " start one, or set `broker`"
        ) from error
    finally:
        await admin.close()
    return [name for name in (_created(*entry[:2]) for entry in response.topic_errors) if name]


def _new(topic: Topic, settings: Settings) -> NewTopic:
    return NewTopic(
        name=topic.name,
        num_partitions=settings.partitions,
        replication_factor=settings.replication,
        topic_configs={
            "retention.ms": str(topic.retention_ms),
            "max.message.bytes": str(topic.max_message_bytes),
            "cleanup.policy": "compact" if topic.compacted else "delete",
            # acks=all then means at least two copies as soon as there are three nodes
            "min.insync.replicas": str(max(1, settings.replication - 1)),
        },
    )


def _created(name: str, code: int) -> str | None:
    """Return `name` when it was created, None when it was there already."""
    if code == 0:
        return name
    if code == TopicAlreadyExistsError.errno:
        return None
    raise BrokerUnavailable(f"topic {name} cannot be created: {for_code(code).__name__}")


def main(settings: Settings) -> int:
    """Create the topics and print the names of the new ones."""
    for name in asyncio.run(ensure(settings)):
        print(f"created {name}")
    return 0
