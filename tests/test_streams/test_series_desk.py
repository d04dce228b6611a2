"""Records that Faust passes over are read again, and nothing is taken out of turn."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from engine.config import Settings
from streams.series import SeriesDesk

TP = ("scanstream.results", 0)


class Consumer:
    """The part of Faust's consumer that the desk uses."""

    def __init__(self, *, committed: int | None, earliest: int) -> None:
        self._committed_offset = {TP: committed}
        self._earliest = earliest
        self.sought: list[int] = []

    async def earliest_offsets(self, tp: Any) -> Mapping[Any, int]:
        return {tp: self._earliest}

    async def seek(self, tp: Any, offset: int) -> None:
        self.sought.append(offset)


async def taken(consumer: Consumer, offsets: list[int]) -> list[int]:
    """Return which of the offsets the desk lets through, in the order of their coming."""
    app = SimpleNamespace(consumer=consumer, topic=lambda *_, **__: None)
    desk = SeriesDesk(app, None, Settings())
    passed = []
    for offset in offsets:
        if await desk._is_next(SimpleNamespace(tp=TP, offset=offset)):
            passed.append(offset)
            desk._next[TP] = offset + 1
    return passed


@pytest.mark.parametrize(
    ("committed", "earliest", "first"), [(None, 0, 0), (None, 7, 7), (18, 0, 18), (3, 9, 9)]
)
async def test_it_begins_at_what_is_committed_and_still_there(
    committed: int | None, earliest: int, first: int
) -> None:
    consumer = Consumer(committed=committed, earliest=earliest)
    assert await taken(consumer, [first, first + 1]) == [first, first + 1]
    assert consumer.sought == []


async def test_a_hole_is_read_again_once_and_in_order() -> None:
    consumer = Consumer(committed=18, earliest=0)
    assert await taken(consumer, [22, 23, 24, 18, 19, 20]) == [18, 19, 20]
    assert consumer.sought == [18]


async def test_a_repeat_is_not_taken_again() -> None:
    consumer = Consumer(committed=0, earliest=0)
    assert await taken(consumer, [0, 1, 0, 1, 2]) == [0, 1, 2]
