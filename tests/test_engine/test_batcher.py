"""The batcher's decisions; the test is the clock."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.batcher import LATE_SHARE, Batcher

FAR_S = 1e9


def batcher_of(deadlines: list[float], *, max_batch: int = 4, now_s: float = 0.0) -> Batcher[int]:
    made: Batcher[int] = Batcher(max_batch=max_batch, max_wait_s=0.01)
    for item, deadline_s in enumerate(deadlines):
        made.add(item, deadline_s=deadline_s, now_s=now_s)
    return made


def test_due_when_full_or_when_the_oldest_has_waited() -> None:
    made = batcher_of([FAR_S], max_batch=2)
    assert not made.is_due(0.009)
    assert made.is_due(0.0101)
    made.add(1, deadline_s=FAR_S, now_s=0.001)
    assert made.is_due(0.001)
    assert batcher_of([]).due_s() is None


def test_earliest_deadline_first() -> None:
    made = batcher_of([30.0, 10.0, 20.0], max_batch=2)
    assert [one.item for one in made.take(0.0)] == [1, 2]
    assert [one.item for one in made.take(0.0)] == [0]


def test_expired_frames_are_served_late_in_order_of_arrival() -> None:
    made = batcher_of([2.0, 1.0, 100.0])
    taken = made.take(50.0)
    assert [(one.item, one.late) for one in taken] == [(2, False), (0, True), (1, True)]


def test_an_overload_of_fresh_frames_does_not_starve_the_late() -> None:
    made = batcher_of([1.0] * 10, max_batch=4)
    late = 0
    for step in range(20):
        for _ in range(4):
            made.add(100 + step, deadline_s=FAR_S, now_s=10.0)
        late += sum(one.late for one in made.take(10.0))
    assert late == 10


def test_single_places_are_shared_too() -> None:
    made = batcher_of([1.0] * 5 + [FAR_S] * 50, max_batch=1)
    late = [made.take(10.0)[0].late for _ in range(16)]
    assert sum(late) == int(16 * LATE_SHARE)


@given(
    deadlines=st.lists(st.floats(0, 100), max_size=40),
    max_batch=st.integers(1, 9),
    now_s=st.floats(0, 100),
)
def test_everything_is_served_once(deadlines: list[float], max_batch: int, now_s: float) -> None:
    made = batcher_of(deadlines, max_batch=max_batch)
    served = []
    while len(made):
        batch = made.take(now_s)
        assert 1 <= len(batch) <= max_batch
        assert all(one.late == (one.deadline_s < now_s) for one in batch)
        served += [one.item for one in batch]
    assert sorted(served) == list(range(len(deadlines)))
