"""The histogram against numpy, and what may be claimed from how many samples."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perf.load.recorder import PER_OCTAVE, SAMPLES_FOR_P999, Histogram, Summary, nanoseconds

VALUES = st.lists(st.integers(0, 2**45), min_size=1, max_size=300)


@given(VALUES, st.floats(0, 100))
def test_percentiles_are_those_of_numpy_within_the_promised_error(
    values: list[int], percent: float
) -> None:
    found = Histogram(values).percentile(percent)
    rank = max(1, math.ceil(round(percent / 100 * len(values), 6)))
    true = sorted(values)[rank - 1]
    assert true <= found <= true * (1 + 1 / PER_OCTAVE)
    if percent in (0.0, 100.0):
        method = "inverted_cdf"
        expected = int(np.percentile(np.array(values, np.uint64), percent, method=method))
        assert expected == true


@pytest.mark.parametrize("percent", [50, 90, 99, 99.9])
def test_a_usual_latency_distribution(percent: float) -> None:
    values = np.random.default_rng(7).lognormal(17, 0.7, 20_000).astype(np.int64)
    found = Histogram(values.tolist()).percentile(percent)
    assert found == pytest.approx(np.percentile(values, percent), rel=0.01)


def test_small_values_are_exact() -> None:
    assert [Histogram([value]).percentile(50) for value in range(2000)][:1024] == list(range(1024))


@given(VALUES, VALUES)
def test_two_merged_are_one_of_all_values(one: list[int], other: list[int]) -> None:
    merged, whole = Histogram(one), Histogram(one + other)
    merged.merge(Histogram(other))
    assert (merged.count, merged.total, merged.max) == (whole.count, whole.total, whole.max)
    assert [merged.percentile(p) for p in (0, 50, 99, 100)] == [
        whole.percentile(p) for p in (0, 50, 99, 100)
    ]


def test_the_maximum_is_exact_and_what_is_below_zero_is_zero() -> None:
    histogram = Histogram([-5, 123_456_789])
    assert histogram.percentile(100) == histogram.max == 123_456_789
    assert histogram.percentile(0) == 0


@pytest.mark.parametrize("percent", [-0.1, 100.1])
def test_a_percentage_outside_is_refused(percent: float) -> None:
    with pytest.raises(ValueError, match="percentile"):
        Histogram([1]).percentile(percent)
    with pytest.raises(ValueError, match="of 0 values"):
        Histogram().percentile(50)


@pytest.mark.parametrize(
    ("count", "claimed"), [(SAMPLES_FOR_P999 - 1, False), (SAMPLES_FOR_P999, True)]
)
def test_the_last_thousandth_is_claimed_from_ten_thousand_samples(
    count: int, claimed: bool
) -> None:
    summary = Summary.of(Histogram([nanoseconds(0.020)] * (count - 5) + [nanoseconds(1.0)] * 5))
    assert (summary.p99_9 is not None) == claimed
    assert summary.p50 == pytest.approx(20, rel=0.002)
    assert summary.max == 1000.0
    assert "p99.9" in msgspec.to_builtins(summary)


def test_without_samples_nothing_is_claimed() -> None:
    empty = Summary.of(Histogram())
    assert empty.count == 0
    assert math.isnan(empty.p99)
    assert empty.p99_9 is None
