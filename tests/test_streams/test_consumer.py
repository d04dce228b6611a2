"""What was read and not committed comes again, and nothing is passed over on the way."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections import defaultdict
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from intervaltree import IntervalTree
from mode.utils.logging import CompositeLogger

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


class Commits:
    """A consumer whose broker answers as it is told to, and what it was asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, committed: int | None) -> None:
        self.tp, self.assigned = TP("f", 0), {TP("f", 0)}
        self.asked: list[int] = []
        self.answers: list[bool | Exception] = []
        self.consumer = made = a_consumer()
        made._acked, made._acked_index = defaultdict(list), defaultdict(set)
        made._gap = defaultdict(IntervalTree)
        made._committed_offset = defaultdict(lambda: None, {self.tp: committed})
        made.in_transaction, made.log = False, CompositeLogger(logging.getLogger(__name__))
        nothing = SimpleNamespace(on_commit=lambda _: None, on_tp_commit=lambda _: None)
        made.app = SimpleNamespace(
            tables=nothing, monitor=nothing, producer=self, consumer_generation_id=1
        )
        monkeypatch.setattr(driver.Consumer, "_commit", lambda _, offsets: self._answer(offsets))
        monkeypatch.setattr(driver.Consumer, "assignment", lambda _: self.assigned)

    async def flush(self) -> None:
        """The producer's."""

    async def _answer(self, offsets: Any) -> bool:
        self.asked.append(offsets[self.tp])
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def acknowledge(self, *offsets: int) -> None:
        self.consumer._acked[self.tp].extend(offsets)
        self.consumer._acked_index[self.tp].update(offsets)

    async def commit(self, answer: bool | Exception) -> None:
        self.answers.append(answer)
        with suppress(ConnectionError):
            await self.consumer._commit_tps([self.tp], start_new_transaction=False)

    async def _handle_attached(self, _: Any) -> None:
        """Nothing is attached."""


@pytest.mark.parametrize("committed", [None, 3])
@pytest.mark.parametrize("refusal", [False, ConnectionError("cut")])
@pytest.mark.parametrize("later", [(), (7, 8)])
async def test_a_commit_that_was_refused_is_made_again(
    monkeypatch: pytest.MonkeyPatch,
    committed: int | None,
    refusal: bool | Exception,
    later: tuple[int, ...],
) -> None:
    """Faust's own takes it for done, and passes over what comes later (faust#316)."""
    commits = Commits(monkeypatch, committed)
    monkeypatch.setattr(driver.Consumer, "_handle_attached", commits._handle_attached)
    commits.acknowledge(3, 4, 5, 6)
    await commits.commit(refusal)
    commits.acknowledge(*later)
    await commits.commit(refusal)
    await commits.commit(True)
    last = 9 if later else 7
    assert commits.asked == [7, last, last]
    assert commits.consumer._committed_offset[commits.tp] == last
    assert not commits.consumer._acked[commits.tp]


async def test_a_partition_that_has_gone_is_not_committed_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    commits = Commits(monkeypatch, 3)
    monkeypatch.setattr(driver.Consumer, "_handle_attached", commits._handle_attached)
    commits.acknowledge(3, 4)
    commits.assigned = set()
    await commits.commit(False)
    assert not commits.asked
    assert not commits.consumer._acked[commits.tp]


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
