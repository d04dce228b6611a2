"""`scanstream topics`: what it says of a real broker, and of none."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from engine.cli import main
from engine.cli.topics import NAMES
from engine.config import Settings
from engine.local.broker import Broker
from engine.local.kafka import Kafka
from engine.messages import DEAD_LETTER, FRAMES, FRAMES_STAT, RESULTS
from streams import topics

pytestmark = pytest.mark.kafka
MINUTE_NS = 60_000_000_000


@pytest.fixture
def own(request, tmp_path, start_or_skip) -> Iterator[Settings]:
    """Settings of a broker of this test's own, without topics."""
    server = getattr(request, "param", Broker)(tmp_path)
    start_or_skip(server)
    yield Settings(broker=server.address, partitions=3)
    server.stop()


async def produce(settings: Settings, topic: str, ages_ns: list[int], partition: int) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=settings.broker)
    await producer.start()
    for age_ns in ages_ns:
        accepted = str(time.time_ns() - age_ns).encode()
        await producer.send_and_wait(
            topic, b"x", partition=partition, headers=[("x-accepted-ns", accepted)]
        )
    await producer.stop()


async def commit(settings: Settings, group: str, topic: str, offset: int) -> None:
    consumer = AIOKafkaConsumer(
        topic, bootstrap_servers=settings.broker, group_id=group, enable_auto_commit=False
    )
    await consumer.start()
    while not consumer.assignment():
        await consumer.getmany(timeout_ms=100)
    await consumer.commit({TopicPartition(topic, 1): offset})
    await consumer.stop()


def said(settings: Settings, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    assert main(["topics", "--json", "--broker", settings.broker]) == 0
    out = capsys.readouterr()
    assert out.err == ""
    told = json.loads(out.out)
    assert told["broker"] == settings.broker
    return {one.pop("name"): one for one in told["topics"]}


@pytest.mark.parametrize("own", [Broker, Kafka], indirect=True)
def test_lag_and_age_of_what_waits(own, capsys) -> None:
    asyncio.run(topics.ensure(own))
    asyncio.run(produce(own, FRAMES, [90 * MINUTE_NS, 50 * MINUTE_NS, 20 * MINUTE_NS], 1))
    asyncio.run(commit(own, f"{own.group}-bulk", FRAMES, 1))
    asyncio.run(produce(own, FRAMES, [30 * MINUTE_NS], 2))
    asyncio.run(produce(own, RESULTS, [0, 0], 1))
    asyncio.run(commit(own, "somebody", RESULTS, 2))
    told = said(own, capsys)
    assert (told[FRAMES]["partitions"], told[FRAMES]["records"]) == (3, 4)
    (bulk,) = told[FRAMES]["groups"]
    assert (bulk["name"], bulk["lag"]) == (f"{own.group}-bulk", 3)
    assert bulk["oldest_waiting_s"] == pytest.approx(50 * 60, abs=30)
    (stat,) = told[FRAMES_STAT]["groups"]
    assert stat == {"name": f"{own.group}-stat", "lag": 0, "oldest_waiting_s": None}
    assert told[RESULTS]["groups"] == [{"name": "somebody", "lag": 0, "oldest_waiting_s": None}]
    assert told[DEAD_LETTER] == {"partitions": 3, "records": 0, "groups": []}


def test_topics_that_are_missing(own, capsys) -> None:
    told = said(own, capsys)
    assert told == {name: {"partitions": 0, "records": 0, "groups": []} for name in NAMES}
    assert main(["topics", "--broker", own.broker]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(NAMES) + 1
    assert all("python -m streams topics" in line for line in lines[1:])


@pytest.mark.parametrize("own", [Broker, Kafka], indirect=True)
def test_a_group_that_never_committed_has_everything_before_it(own, capsys) -> None:
    asyncio.run(topics.ensure(own))
    asyncio.run(produce(own, FRAMES, [MINUTE_NS] * 5, 0))
    assert main(["topics", "--broker", own.broker]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if f"{FRAMES} " in line]
    assert line.split()[:5] == [FRAMES, "3", "5", f"{own.group}-bulk", "5"]


def test_every_topic_of_the_table_is_looked_at() -> None:
    settings = Settings()
    others = {topic.name for topic in topics.table(settings)} - set(NAMES)
    assert all(name.startswith(f"{settings.group}-") for name in others)


def test_no_broker(capsys) -> None:
    assert main(["topics", "--broker", "127.0.0.1:9"]) == 1
    out = capsys.readouterr()
    assert out.out == ""
    assert out.err.count("\n") == 1
    assert "the topics at 127.0.0.1:9 cannot be read" in out.err
