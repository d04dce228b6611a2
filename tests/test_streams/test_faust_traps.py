"""What faust-streaming does that would lose frames: if one of these fails, the cure may go.

`docs/decisions/0002-ordered-release.md` has the reasons.
"""

from __future__ import annotations

from collections import defaultdict
from types import SimpleNamespace
from typing import Any

from faust.transport.consumer import Consumer
from faust.types import TP
from intervaltree import IntervalTree


def commit_after(acked: list[int], *, committed: int) -> Any:
    tp = TP("frames", 0)
    consumer = SimpleNamespace(
        _acked=defaultdict(list, {tp: list(acked)}),
        _acked_index=defaultdict(set, {tp: set(acked)}),
        _gap=defaultdict(IntervalTree),
        _committed_offset=defaultdict(lambda: None, {tp: committed}),
    )
    return Consumer._new_offset(consumer, tp)


def test_acknowledging_out_of_order_steps_over_a_frame_in_work() -> None:
    """Offset 34 is still in work; a crash after this commit would lose it."""
    assert commit_after([35, 36], committed=34) == 37


def test_acknowledging_in_order_is_safe() -> None:
    assert commit_after([34, 35], committed=33) == 36
