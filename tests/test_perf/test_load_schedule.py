"""When frames are due: seeded, at the rate that was asked for, and never looking at answers."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perf.load import schedule


def first(due: itertools.chain[float] | object, count: int) -> list[float]:
    return list(itertools.islice(due, count))  # type: ignore[call-overload,no-any-return]


def test_constant_arrivals_are_evenly_apart() -> None:
    assert first(schedule.constant(4.0), 5) == [0.0, 0.25, 0.5, 0.75, 1.0]


def test_a_seed_gives_the_same_arrivals_again_and_another_seed_others() -> None:
    one, again, other = (first(schedule.poisson(50, seed), 100) for seed in (1, 1, 2))
    assert one == again
    assert one != other


def test_poisson_arrivals_have_the_rate_and_independent_gaps() -> None:
    gaps = np.diff(first(schedule.poisson(200, 3), 20_001))
    assert gaps.min() > 0
    assert gaps.mean() == pytest.approx(1 / 200, rel=0.03)  # four standard errors
    assert gaps.std() == pytest.approx(1 / 200, rel=0.05)  # an exponential's, unlike a constant's
    assert abs(np.corrcoef(gaps[:-1], gaps[1:])[0, 1]) < 0.03


def test_a_burst_comes_at_once_and_the_rate_is_that_of_frames() -> None:
    due = np.array(first(schedule.burst(100, 5, size=10), 20_000)).reshape(-1, 10)
    assert (due == due[:, :1]).all()
    assert len(np.unique(due)) == len(due)
    assert 20_000 / due[-1, 0] == pytest.approx(100, rel=0.1)


def test_a_trace_begins_at_its_first_line(tmp_path: Path) -> None:
    path = tmp_path / "trace.txt"
    path.write_text("# recorded\n10.5\n\n10.75\n10.75\n12\n")
    assert list(schedule.trace(path)) == [0.0, 0.25, 0.25, 1.5]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [("1\nx\n", "line 2: 'x' is not a number"), ("2\n1\n", "line 2"), ("1\nnan\n", "line 2")],
)
def test_a_wrong_trace_names_its_line(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "trace.txt"
    path.write_text(text)
    with pytest.raises(ValueError, match=complaint):
        list(schedule.trace(path))


@pytest.mark.parametrize("rate_hz", [0.0, -1.0, math.nan])
def test_a_rate_must_be_above_zero(rate_hz: float) -> None:
    for make in (schedule.constant, lambda hz: schedule.poisson(hz, 1)):
        with pytest.raises(ValueError, match="rate_hz"):
            make(rate_hz)
    with pytest.raises(ValueError, match="size"):
        schedule.burst(1.0, 1, size=0)


@given(st.integers(0, 2**32), st.floats(0.5, 500))
def test_until_ends_before_the_given_second(seed: int, rate_hz: float) -> None:
    due = list(schedule.until(schedule.poisson(rate_hz, seed), 1.0))
    assert due == sorted(due)
    assert all(0 < at < 1.0 for at in due)
