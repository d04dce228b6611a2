"""`scanstream topics`: what is on the broker, who reads it, and what waits."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from engine.config import Settings
from engine.errors import BrokerUnavailable
from engine.messages import DEAD_LETTER, FRAMES, FRAMES_STAT, RESULTS, TOPIC_OF_LANE
from engine.security import client_options
from engine.series import ALERTS, SERIES
from engine.serving import MODELS_TOPIC, SHADOW_TOPIC

HELP = "say of each topic: partitions, records, each consumer group's lag and its oldest frame"
EXAMPLE = "scanstream topics --json"

NAMES = (
    *(FRAMES, FRAMES_STAT, RESULTS, SERIES, ALERTS, DEAD_LETTER),
    *(MODELS_TOPIC, SHADOW_TOPIC),
)
REQUEST_LIMIT_S = 10.0

Offsets = Mapping[TopicPartition, int]


@dataclass(slots=True)
class Group:
    """What one consumer group has not committed yet, and for how long the oldest of it waits."""

    name: str
    lag: int
    oldest_waiting_s: float | None = None


@dataclass(slots=True)
class Topic:
    """One topic; `records` are those that it holds now, 0 partitions mean that it is missing."""

    name: str
    partitions: int = 0
    records: int = 0
    groups: list[Group] = field(default_factory=list)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's options."""
    parser.add_argument("--broker", help="host:port (setting `broker`)")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")


def run(args: argparse.Namespace) -> int:
    """Print what is there; raise `BrokerUnavailable` when no broker answers."""
    settings = Settings.load(broker=args.broker)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # we say it in one line
    topics = asyncio.run(look(settings))
    if args.json:
        print(json.dumps({"broker": settings.broker, "topics": [asdict(one) for one in topics]}))
    else:
        for line in _table(topics):
            print(line)
    return 0


async def look(settings: Settings) -> list[Topic]:
    """Return every topic of ours with the groups that read it. Raise `BrokerUnavailable`.

    A group belongs to a topic once it has committed there; the workers' groups always do to theirs.
    """
    try:
        async with asyncio.timeout(4 * REQUEST_LIMIT_S), _clients(settings) as (admin, consumer):
            there = await _partitions(admin, settings)
            everything = [one for ones in there.values() for one in ones]
            starts = await consumer.beginning_offsets(everything)
            ends = await consumer.end_offsets(everything)
            topics = {
                name: Topic(name, len(ones), sum(ends[one] - starts[one] for one in ones))
                for name, ones in there.items()
            }
            for group, read in (await _committed(admin, everything, settings)).items():
                for name in _topics_of(group, read, settings) & set(there):
                    waiting = _waiting(there[name], starts, ends, read)
                    lag = sum(ends[one] - at for one, at in waiting.items())
                    oldest_s = await _oldest_s(consumer, waiting)
                    topics[name].groups.append(Group(group, lag, oldest_s))
    except (KafkaError, OSError, TimeoutError) as error:
        raise BrokerUnavailable(
            f"the topics at {settings.broker} cannot be read ({type(error).__name__}):"
            " is the broker up? (`scanstream up`; set `broker`)"
        ) from error
    return [topics.pop(name, Topic(name)) for name in NAMES] + list(topics.values())


@asynccontextmanager
async def _clients(
    settings: Settings,
) -> AsyncIterator[tuple[AIOKafkaAdminClient, AIOKafkaConsumer]]:
    options: dict[str, Any] = {
        **client_options(settings),
        "request_timeout_ms": int(REQUEST_LIMIT_S * 1000),
    }
    admin = AIOKafkaAdminClient(**options)
    consumer = AIOKafkaConsumer(**options, enable_auto_commit=False)
    try:
        await admin.start()
        await consumer.start()
        yield admin, consumer
    finally:
        await consumer.stop()
        await admin.close()


async def _partitions(
    admin: AIOKafkaAdminClient, settings: Settings
) -> dict[str, list[TopicPartition]]:
    """Return the partitions of those of our topics that exist, changelogs of Faust's included."""
    listed = await admin.list_topics()
    names = sorted(one for one in listed if one in NAMES or one.startswith(f"{settings.group}-"))
    found = await admin.describe_topics(names) if names else []
    return {
        one["topic"]: [
            TopicPartition(one["topic"], each["partition"]) for each in one["partitions"]
        ]
        for one in found
    }


async def _committed(
    admin: AIOKafkaAdminClient, partitions: list[TopicPartition], settings: Settings
) -> dict[str, Offsets]:
    """Return what the workers' groups, and all that the broker knows, have committed.

    A group that it does not know is not asked for: Kafka has no coordinator before the first group.
    """
    committed: dict[str, Offsets] = {f"{settings.group}-{lane}": {} for lane in TOPIC_OF_LANE}
    for group, *_ in sorted(await admin.list_consumer_groups()):
        found = await admin.list_consumer_group_offsets(group, partitions=partitions)
        committed[group] = {one: at.offset for one, at in found.items() if at.offset >= 0}
    return dict(sorted(committed.items()))


def _topics_of(group: str, committed: Offsets, settings: Settings) -> set[str]:
    lanes = {f"{settings.group}-{lane}": topic for lane, topic in TOPIC_OF_LANE.items()}
    return {one.topic for one in committed} | ({lanes[group]} if group in lanes else set())


def _waiting(
    partitions: list[TopicPartition], starts: Offsets, ends: Offsets, committed: Offsets
) -> dict[TopicPartition, int]:
    """Return where the group reads on, for the partitions that hold more than it has committed."""
    begin = {one: max(starts[one], committed.get(one, 0)) for one in partitions}
    return {one: at for one, at in begin.items() if at < ends[one]}


async def _oldest_s(consumer: AIOKafkaConsumer, waiting: Offsets) -> float | None:
    """Return the age of the oldest record that waits, in seconds; None when nothing does."""
    if not waiting:
        return None
    consumer.assign(list(waiting))
    for one, offset in waiting.items():
        consumer.seek(one, offset)
    accepted_ns = [_accepted_ns(await consumer.getone(one)) for one in waiting]
    return round(max(0.0, (time.time_ns() - min(accepted_ns)) / 1e9), 3)


def _accepted_ns(record: Any) -> int:
    """Return when the gateway accepted the frame; for other records, when they were written."""
    text = dict(record.headers).get("x-accepted-ns", b"")
    return int(text) if text.isdigit() else int(record.timestamp) * 1_000_000


def _table(topics: list[Topic]) -> list[str]:
    wide = max(len(one.name) for one in topics) + 2
    lines = [
        f"{'topic':<{wide}}{'partitions':>10}{'records':>10}  {'group':<28}{'lag':>8}{'oldest':>12}"
    ]
    for one in topics:
        if not one.partitions:
            lines.append(f"{one.name:<{wide}}missing: `python -m streams topics` creates it")
            continue
        head = f"{one.name:<{wide}}{one.partitions:>10}{one.records:>10}"
        lines += [head + group for group in map(_group, one.groups[:1])] or [head]
        lines += [" " * len(head) + group for group in map(_group, one.groups[1:])]
    return lines


def _group(group: Group) -> str:
    oldest = "-" if group.oldest_waiting_s is None else f"{group.oldest_waiting_s:.1f} s"
    return f"  {group.name:<28}{group.lag:>8}{oldest:>12}"
