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

    def __init__(self, *, committed: int | None, earliest: int, end: int = 0) -> None:
        self._committed_offset = {TP: committed}
        self._earliest, self._end = earliest, end
        self.sought: list[int] = []

    async def earliest_offsets(self, tp: Any) -> Mapping[Any, int]:
        return {tp: self._earliest}

    async def highwaters(self, *tps: Any) -> Mapping[Any, int]:
        return dict.fromkeys(tps, self._end)

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


@pytest.mark.parametrize(
    ("end", "earliest", "taken_since", "recovered", "sought"),
    [
        (20, 0, 0, True, [18]),  # passed over, and nothing comes after it
        (20, 19, 0, True, [19]),  # of what was passed over, retention has left the last
        (18, 0, 0, True, []),  # everything was read
        (20, 0, 1, True, []),  # still reading
        (20, 0, 0, False, []),  # the table recovers
    ],
)
async def test_what_was_passed_over_at_the_end_is_read_again(
    end: int, earliest: int, taken_since: int, recovered: bool, sought: list[int]
) -> None:
    consumer = Consumer(committed=18, earliest=earliest, end=end)
    app = SimpleNamespace(consumer=consumer, topic=lambda *_, **__: None)
    desk = SeriesDesk(app, None, Settings())
    desk._ours, desk._recovered = [TP], recovered
    desk._taken += taken_since
    await desk.look_back()
    assert consumer.sought == sought
