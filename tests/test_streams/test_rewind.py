"""A partition without a commit is read from its start after a rebalance."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from engine.config import Settings
from streams.base import new_app
from streams.rewind import App, RewindingConsumer


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
    consumer = object.__new__(RewindingConsumer)
    consumer.app = SimpleNamespace(tables=SimpleNamespace(changelog_topics={"changelog"}))
    assert await consumer.seek_to_committed() == commits
    assert sought == earliest


def test_every_app_has_that_consumer() -> None:
    assert isinstance(new_app("rewinding", Settings(broker="127.0.0.1:1")), App)
