"""Value mappings: modality, window, percentile_window, normalise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import kernels
from kernels import KernelInputError, _reference
from tests.test_kernels.frames import FLOATS, INTEGERS, Array, frames, picture, quick


@quick
@given(frames(), st.floats(-1e4, 1e4), st.floats(-1e5, 1e5))
def test_modality_is_the_specification(frame: Array, slope: float, intercept: float) -> None:
    got = kernels.modality(frame, slope=slope, intercept=intercept)
    want = _reference.modality(frame, slope, intercept)
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, want)


@quick
@given(frames(), st.floats(-1e4, 1e4), st.floats(1, 1e5) | st.just(1.0))
def test_window_is_the_specification(frame: Array, center: float, width: float) -> None:
    got = kernels.window(frame, center=center, width=width)
    assert got.dtype == np.float32
    assert got.min() >= 0
    assert got.max() <= 1
    np.testing.assert_allclose(got, _reference.window(frame, center, width), atol=1e-6)


def test_window_is_the_example_of_the_standard() -> None:
    """PS3.3 C.11.2.1.2.1: c=2048, w=4096 keeps 0 and 4095; c=2048, w=1 is a threshold."""
    frame = np.array([[0, 2047, 2048, 4095]], np.uint16)
    full = kernels.window(frame, center=2048, width=4096)
    np.testing.assert_allclose(full, frame / np.float32(4095), atol=1e-7)
    np.testing.assert_array_equal(kernels.window(frame, center=2048, width=1), [[0, 0, 1, 1]])


@quick
@given(frames(), st.floats(0, 49), st.floats(51, 100), st.sampled_from([2, 256, 4096, 65536]))
def test_percentile_window_is_the_specification(
    frame: Array, low: float, high: float, bins: int
) -> None:
    got = kernels.percentile_window(frame, low=low, high=high, bins=bins)
    last = frame.size - 1
    ranks = int(low / 100 * last + 0.5), int(high / 100 * last + 0.5)
    assert got.dtype == np.uint16
    assert got.max() < bins
    np.testing.assert_array_equal(got, _reference.percentile_window(frame, *ranks, bins))


@quick
@given(frames([np.int16], least=-4000, most=4000))
def test_percentile_window_does_not_see_the_scale(frame: Array) -> None:
    plain = kernels.percentile_window(frame, low=1, high=99.5)
    scaled = kernels.percentile_window(frame * np.int16(7) + np.int16(3), low=1, high=99.5)
    rescaled = kernels.percentile_window(frame * np.float32(7) + np.float32(3), low=1, high=99.5)
    assert abs(plain.astype(int) - scaled).max() <= 1
    assert abs(plain.astype(int) - rescaled).max() <= 1


@pytest.mark.parametrize("dtype", INTEGERS + FLOATS)
def test_percentile_window_of_a_constant_is_zero(dtype: type) -> None:
    frame = np.full((5, 7), 9, dtype)
    assert not kernels.percentile_window(frame, low=1, high=99).any()


@quick
@given(frames(), st.floats(0.1, 10))
def test_normalise_is_the_specification(frame: Array, spread: float) -> None:
    got = kernels.normalise(frame, spread=spread)
    assert got.dtype == np.uint8
    # sums are rounded in another order: a value on the edge may fall to the other side
    assert abs(got.astype(int) - _reference.normalise(frame, spread)).max() <= 1


@pytest.mark.parametrize("dtype", INTEGERS + FLOATS)
def test_normalise_of_a_constant_is_the_middle(dtype: type) -> None:
    assert (kernels.normalise(np.full((300, 300), 0.1, np.float64).astype(dtype)) == 128).all()


def test_normalise_puts_the_mean_in_the_middle() -> None:
    got = kernels.normalise(picture((64, 64)), spread=3.0)
    assert abs(got.mean() - 127.5) < 1
    assert abs(got.std() - 255 / 6) < 1


BAD_FRAMES = [
    (np.zeros((2, 2, 2)), "rows, columns"),
    (np.zeros((0, 4)), "not empty"),
    (np.zeros((2, 2), complex), "integers or floats"),
    (np.zeros((2, 2), bool), "integers or floats"),
    (np.array([[1.0, np.nan]]), "NaN"),
    (np.array([[1.0, np.inf]]), "NaN or infinity"),
    (np.array([[-np.inf, np.inf]], np.float32), "NaN or infinity"),
    ([[1, 2]], "integers or floats"),
]


@pytest.mark.parametrize(("frame", "text"), BAD_FRAMES)
@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("modality", {"slope": 1, "intercept": 0}),
        ("window", {"center": 1, "width": 2}),
        ("percentile_window", {"low": 1, "high": 99}),
        ("normalise", {}),
        ("resample", {"shape": (3, 3)}),
        ("letterbox", {"size": 3}),
        ("median3", {}),
        ("unsharp", {"sigma": 1, "amount": 1}),
    ],
)
def test_what_is_no_frame_is_refused(
    name: str, parameters: dict[str, object], frame: object, text: str
) -> None:
    with pytest.raises(KernelInputError, match=text):
        getattr(kernels, name)(frame, **parameters)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("modality", {"slope": float("nan"), "intercept": 0}),
        ("modality", {"slope": float("inf"), "intercept": 0}),
        ("modality", {"slope": 1, "intercept": float("nan")}),
        ("window", {"center": 40, "width": 0.5}),
        ("window", {"center": float("nan"), "width": 400}),
        ("percentile_window", {"low": 99, "high": 1}),
        ("percentile_window", {"low": -1, "high": 99}),
        ("percentile_window", {"low": 1, "high": float("nan")}),
        ("percentile_window", {"low": 1, "high": 99, "bins": 65537}),
        ("percentile_window", {"low": 1, "high": 99, "bins": 1}),
        ("normalise", {"spread": 0}),
        ("normalise", {"spread": float("nan")}),
        ("unsharp", {"sigma": 0, "amount": 1}),
        ("unsharp", {"sigma": 1, "amount": float("inf")}),
    ],
)
def test_a_parameter_that_makes_no_sense_is_refused(
    name: str, parameters: dict[str, object]
) -> None:
    with pytest.raises(KernelInputError):
        getattr(kernels, name)(np.eye(4, dtype=np.int16), **parameters)


def test_an_array_without_bodies_is_refused() -> None:
    class Foreign:
        dtype = np.dtype(np.uint8)
        ndim = 2
        size = 4
        shape = (2, 2)

    with pytest.raises(KernelInputError, match="no kernels for Foreign"):
        kernels.normalise(Foreign())  # type: ignore[arg-type]
