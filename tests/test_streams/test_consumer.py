"""What was read and not committed comes again, and nothing is passed over on the way."""

from __future__ import annotations

import asyncio
import sys
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from commits import PART, Commits, Reply
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from engine.config import Settings
from streams.base import new_app
from streams.consumer import App, MendedConsumer

CONSUMERS = [("faust", "0 1 2"), ("ours", "0 1 2 0")]


def a_consumer() -> MendedConsumer:
    consumer = object.__new__(MendedConsumer)
    consumer.app = SimpleNamespace(tables=SimpleNamespace(changelog_topics={"changelog"}))
    consumer._read_offset = defaultdict(lambda: None)
    consumer._read_before = {}
    return consumer


async def test_only_partitions_without_a_commit_go_back(monkeypatch: pytest.MonkeyPatch) -> None:
    commits = {TP("f", 0): 7, TP("f", 1): None, TP("f", 2): 0, TP("changelog", 0): None}
    earliest = {TP("f", 1): 0, TP("f", 2): 3}
    sought: dict[Any, int] = {}

    async def committed(_: Any) -> dict[Any, Any]:
        return commits

    async def first(_: Any, *partitions: Any) -> dict[Any, int]:
        return {tp: earliest[tp] for tp in partitions}

    async def seek(_: Any, tp: Any, offset: int) -> None:
        sought[tp] = offset

    monkeypatch.setattr(driver.Consumer, "seek_to_committed", committed)
    monkeypatch.setattr(driver.Consumer, "earliest_offsets", first)
    monkeypatch.setattr(driver.Consumer, "_seek", seek)
    consumer = a_consumer()
    assert await consumer.seek_to_committed() == commits
    assert sought == earliest


async def test_what_was_fetched_before_a_seek_back_is_not_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Faust would give 6 to 9, note 2 to 5 as a gap, and drop 2 to 8 when they come again."""
    consumer, tp = a_consumer(), TP("f", 0)

    async def fetched(*_: Any) -> Any:
        for offset in (5, 6, 7, 8, 9, 2, 3, 4, 5, 6):
            yield tp, SimpleNamespace(offset=offset)

    async def seek(_: Any, tp: Any, offset: int) -> None:
        consumer._read_offset[tp] = offset

    monkeypatch.setattr(driver.Consumer, "getmany", fetched)
    monkeypatch.setattr(driver.Consumer, "seek", seek)
    given = []
    async for _, message in consumer.getmany(1.0):
        given.append(message.offset)
        consumer._read_offset[tp] = message.offset
        if given == [5]:
            await consumer.seek(tp, 2)
    assert given == [5, 2, 3, 4, 5, 6]


async def test_a_seek_forward_leaves_nothing_out(monkeypatch: pytest.MonkeyPatch) -> None:
    consumer, tp = a_consumer(), TP("f", 0)
    consumer._read_offset[tp] = 5

    async def seek(_: Any, tp: Any, offset: int) -> None:
        return None

    monkeypatch.setattr(driver.Consumer, "seek", seek)
    await consumer.seek(tp, 6)
    assert not consumer._is_stale(tp, 6)


@pytest.mark.parametrize("committed", [None, 3])
@pytest.mark.parametrize("refusal", [False, ConnectionError("cut")])
@pytest.mark.parametrize("later", [(), (7, 8)])
async def test_a_commit_that_was_refused_is_made_again(
    committed: int | None, refusal: Reply, later: tuple[int, ...]
) -> None:
    """Faust's own takes it for done, and passes over what comes later (faust#316)."""
    consumer: Any = Commits(committed)
    consumer.acknowledge(3, 4, 5, 6)
    await consumer.commit_answered(refusal)
    consumer.acknowledge(*later)
    await consumer.commit_answered(refusal)
    await consumer.commit_answered(True)
    last = 9 if later else 7
    assert consumer.asked == [7, last, last]
    assert consumer._committed_offset[PART] == consumer.committed == last
    assert not consumer._acked[PART]


async def test_a_partition_that_has_gone_is_not_committed_again() -> None:
    consumer: Any = Commits(3)
    consumer.acknowledge(3, 4)
    consumer.assigned = set()
    await consumer.commit_answered(False)
    assert not consumer.asked
    assert not consumer._acked[PART]


def test_every_app_has_that_consumer() -> None:
    assert isinstance(new_app("rewinding", Settings(broker="127.0.0.1:1")), App)


@pytest.mark.kafka
@pytest.mark.parametrize(("whose", "comes"), CONSUMERS)
async def test_what_was_read_and_not_committed_comes_again(
    broker: str, whose: str, comes: str
) -> None:
    """Faust's own consumer skips it: where that one does as ours, the cure may go."""
    topic = f"going-back-{whose}"
    async with AIOKafkaProducer(bootstrap_servers=broker) as producer:
        for number in range(3):
            await producer.send_and_wait(topic, str(number).encode(), partition=0)
    words = [str(Path(__file__).with_name("going_back.py")), broker, topic, "3", whose]
    app = await asyncio.create_subprocess_exec(
        sys.executable, *words, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await asyncio.wait_for(app.communicate(), 60)
    assert f"offsets {comes}\n" in said.decode()
