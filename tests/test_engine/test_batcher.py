"""The batcher's decisions; the test is the clock."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.batcher import LATE_SHARE, Batcher, Curve

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


SLOW = Curve({1: 0.010, 2: 0.011, 4: 0.013, 8: 0.017})  # 9 ms a batch and 1 ms a frame
STEEP = Curve({1: 0.010, 8: 0.080})  # a larger batch saves nothing


def deadline_batcher(curve: Curve, deadlines: list[float], *, gap_s: float = 0.0) -> Batcher[int]:
    made: Batcher[int] = Batcher(max_batch=8, max_wait_s=0.01, curve=curve)
    for item, deadline_s in enumerate(deadlines):
        made.add(item, deadline_s=deadline_s, now_s=item * gap_s)
    return made


def test_a_lone_frame_goes_at_once() -> None:
    assert deadline_batcher(SLOW, [FAR_S]).is_due(0.0)


def test_frames_that_come_close_together_wait_for_the_next_one() -> None:
    """Six came 0.1 ms apart: the next one's batch of its own would cost 9 ms, the wait 0.7 ms."""
    made = deadline_batcher(SLOW, [FAR_S] * 6, gap_s=0.0001)
    assert not made.is_due(0.0005)
    due_s = made.due_s()
    assert due_s is not None
    assert 0.0005 < due_s <= 0.0005 + 0.009 / 7 + 1e-9
    assert made.is_due(due_s)


def test_nobody_waits_where_a_larger_batch_saves_nothing() -> None:
    assert deadline_batcher(STEEP, [FAR_S] * 6, gap_s=0.0001).is_due(0.0005)


def test_nobody_waits_past_the_deadline_of_the_first() -> None:
    latest_s = 0.0005 + SLOW.seconds(7)
    made = deadline_batcher(SLOW, [FAR_S] * 5 + [latest_s + 0.0001], gap_s=0.0001)
    assert made.due_s() == pytest.approx(0.0006)


def test_a_batch_is_as_large_as_its_earliest_deadline_allows() -> None:
    made = deadline_batcher(STEEP, [0.045, *[FAR_S] * 7])
    assert [one.item for one in made.take(0.0)] == [0, 1, 2, 3]
    assert len(made.take(0.0)) == 4


def test_what_is_late_anyway_makes_no_batch_smaller() -> None:
    made = deadline_batcher(STEEP, [0.005, *[FAR_S] * 7])
    assert len(made.take(0.0)) == 8


def test_only_a_full_batch_is_made_ready_ahead() -> None:
    made = deadline_batcher(STEEP, [FAR_S] * 7)
    assert not made.is_ripe(0.0)
    made.add(7, deadline_s=FAR_S, now_s=0.0)
    assert made.is_ripe(0.0)
    made.add(8, deadline_s=0.120, now_s=0.0)  # behind 80 ms only a batch of 4 would be in time
    assert not made.is_ripe(0.0)


@given(st.dictionaries(st.integers(1, 64), st.floats(1e-4, 1.0), max_size=6), st.integers(1, 80))
def test_a_larger_batch_never_takes_less(measured: dict[int, float], count: int) -> None:
    curve = Curve(measured)
    assert curve.seconds(count) <= curve.seconds(count + 1) + 1e-12
    assert 0 <= curve.saved(count) <= curve.seconds(1) + 1e-12
    assert curve.largest(curve.seconds(count), count) == count


@settings(max_examples=50)
@given(st.floats(0.2, 5.0), st.lists(st.integers(1, 8), min_size=1, max_size=4))
def test_the_curve_follows_a_model_that_became_faster_or_slower(
    factor: float, counts: list[int]
) -> None:
    curve = Curve({1: 0.010, 8: 0.045})
    expected = {count: factor * curve.seconds(count) for count in range(1, 9)}
    for count in counts * 80:
        curve.observe(count, expected[count])
    assert all(curve.seconds(n) == pytest.approx(expected[n], rel=0.05) for n in expected)


def test_one_batch_that_was_held_up_says_little() -> None:
    curve = Curve({1: 0.010})
    curve.observe(1, 60.0)
    assert curve.seconds(1) < 0.020


ARRIVALS = st.lists(st.tuples(st.floats(0, 0.02), st.floats(0.001, 0.2)), min_size=1, max_size=60)
CURVES = st.dictionaries(st.integers(1, 8), st.floats(1e-3, 0.05), max_size=4).map(Curve)


@settings(max_examples=50)
@given(ARRIVALS, CURVES)
def test_a_batch_is_never_due_later_than_with_fixed_settings(
    arrivals: list[tuple[float, float]], curve: Curve
) -> None:
    ours: Batcher[int] = Batcher(max_batch=8, max_wait_s=0.01, curve=curve)
    fixed: Batcher[int] = Batcher(max_batch=8, max_wait_s=0.01)
    now_s = 0.0
    for number, (gap_s, left_s) in enumerate(arrivals):
        now_s += gap_s
        for made in (ours, fixed):
            made.add(number, deadline_s=now_s + left_s, now_s=now_s)
        due, latest = ours.due_s(), fixed.due_s()
        assert due is not None
        assert latest is not None
        assert due <= latest


@settings(max_examples=50)
@given(ARRIVALS, CURVES)
def test_by_deadline_everything_is_served_once_and_the_late_have_their_share(
    arrivals: list[tuple[float, float]], curve: Curve
) -> None:
    made: Batcher[int] = Batcher(max_batch=8, max_wait_s=0.01, curve=curve)
    now_s, places, late_places, served = 0.0, 0, 0, []
    for number, (gap_s, left_s) in enumerate(arrivals):
        made.add(-1 - number, deadline_s=-1.0, now_s=now_s)  # expired from the start
        now_s += gap_s
        made.add(number, deadline_s=now_s + left_s, now_s=now_s)
        if made.is_due(now_s):
            waiting_late = sum(one < 0 for _, _, one in [*made._late, *made._fresh])
            batch = made.take(now_s)
            assert 1 <= len(batch) <= 8
            places, served = places + len(batch), served + [one.item for one in batch]
            late_places += len(batch) if not waiting_late else sum(one.late for one in batch)
    assert late_places >= LATE_SHARE * places - 8
    while len(made):
        served += [one.item for one in made.take(now_s)]
    assert sorted(served) == sorted(
        [*range(len(arrivals)), *(-1 - n for n in range(len(arrivals)))]
    )
