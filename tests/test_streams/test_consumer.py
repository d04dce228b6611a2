"""A partition without a commit is read again after a rebalance; the broker hands over soon."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from engine.config import Settings
from streams.base import new_app
from streams.consumer import FETCH_WAIT_MS, App, MendedConsumer

CONSUMERS = [("faust", 1500, "0 1 2"), ("ours", FETCH_WAIT_MS, "0 1 2 0")]


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
    consumer = object.__new__(MendedConsumer)
    consumer.app = SimpleNamespace(tables=SimpleNamespace(changelog_topics={"changelog"}))
    assert await consumer.seek_to_committed() == commits
    assert sought == earliest


def test_every_app_has_that_consumer() -> None:
    assert isinstance(new_app("rewinding", Settings(broker="127.0.0.1:1")), App)


@pytest.mark.kafka
@pytest.mark.parametrize(("whose", "waits", "comes"), CONSUMERS)
async def test_what_was_read_and_not_committed_comes_again(
    broker: str, whose: str, waits: int, comes: str
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
    assert f"waits {waits} offsets {comes}\n" in said.decode()
