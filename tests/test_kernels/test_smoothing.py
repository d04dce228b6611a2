"""Bilateral, non-local means and bias flattening against the specification, OpenCV, skimage."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.restoration import denoise_nl_means

import kernels
from kernels import KernelInputError, _reference
from tests.test_kernels.frames import Array, frames, picture, quick


def near(got: Array, want: Array, frame: Array) -> None:
    """float32 inside: apart by 1e-4 of the frame's range, and a level where a half is rounded."""
    assert got.dtype == frame.dtype
    assert got.shape == frame.shape
    atol = 1e-4 * float(np.ptp(frame.astype(float))) + (1 if frame.dtype.kind in "ui" else 1e-6)
    np.testing.assert_allclose(got.astype(float), want.astype(float), rtol=1e-6, atol=atol)


@quick
@given(frames(), st.floats(0.3, 2.0), st.floats(1.0, 1e4))
def test_bilateral_is_the_specification(frame: Array, space: float, value: float) -> None:
    got = kernels.bilateral(frame, sigma_space=space, sigma_value=value)
    near(got, _reference.bilateral(frame, space, value, max(round(1.5 * space), 1)), frame)


@pytest.mark.parametrize(("dtype", "atol"), [(np.uint8, 1), (np.float32, 0.02)])
@pytest.mark.parametrize("space", [1.0, 2.0, 3.5])
def test_bilateral_is_that_of_opencv(dtype: type, atol: float, space: float) -> None:
    frame = picture((40, 53), dtype=dtype, top=255)
    got = kernels.bilateral(frame, sigma_space=space, sigma_value=20.0)
    want = cv2.bilateralFilter(frame, 0, 20.0, space, borderType=cv2.BORDER_REPLICATE)
    np.testing.assert_allclose(got.astype(float), want.astype(float), atol=atol)


@quick
@given(frames(), st.floats(1.0, 1e4), st.integers(0, 2), st.integers(1, 3))
def test_nlm_is_the_specification(frame: Array, strength: float, patch: int, search: int) -> None:
    got = kernels.nlm(frame, strength=strength, patch=patch, search=search)
    near(got, _reference.nlm(frame, strength, patch, search), frame)


def test_nlm_is_that_of_opencv_away_from_the_edges() -> None:
    """At the edges OpenCV mirrors; its weights are rounded."""
    frame = picture((60, 64), dtype=np.uint8, top=255)
    got = kernels.nlm(frame, strength=12.0, patch=2, search=5)[7:-7, 7:-7]
    want = cv2.fastNlMeansDenoising(frame, h=12.0, templateWindowSize=5, searchWindowSize=11)
    assert abs(got.astype(int) - want[7:-7, 7:-7]).max() <= 1


def test_nlm_is_that_of_skimage_away_from_the_edges() -> None:
    """Its fast mode leaves weights below exp(-5) out."""
    frame = picture((60, 64), dtype=np.float32, top=1)
    got = kernels.nlm(frame, strength=0.2, patch=2, search=5)[8:-8, 8:-8]
    want = denoise_nl_means(frame, patch_size=5, patch_distance=5, h=0.2, fast_mode=True)
    np.testing.assert_allclose(got, want[8:-8, 8:-8], atol=0.01)


def test_small_differences_of_large_values_count() -> None:
    """float32 holds numbers near 10**9 to 64 only."""
    low = np.random.default_rng(0).integers(0, 50, (12, 15)).astype(np.uint32)
    base = np.uint32(10**9)
    got = kernels.bilateral(low + base, sigma_space=1.0, sigma_value=20.0)
    near(got - base, _reference.bilateral(low, 1.0, 20.0, 2), low)
    got = kernels.nlm(low + base, strength=20.0)
    near(got - base, _reference.nlm(low, 20.0, 3, 10), low)


@pytest.mark.parametrize("least", [1e-39, 1e-200, 5e-324])
def test_the_smallest_parameters_change_nothing(least: float) -> None:
    frame = picture((9, 11))
    for parameters in ({"sigma_space": least, "sigma_value": 5.0}, {"sigma_value": least}):
        got = kernels.bilateral(frame, **{"sigma_space": 1.0, **parameters})
        np.testing.assert_array_equal(got, frame)
    np.testing.assert_array_equal(kernels.nlm(frame, strength=least, search=3), frame)


@pytest.mark.parametrize("name", ["bilateral", "nlm"])
def test_noise_goes_and_the_edge_stays(name: str) -> None:
    rng = np.random.default_rng(0)
    clean = np.where(np.arange(64) < 32, 500.0, 1500.0) * np.ones((64, 1))
    noisy = (clean + rng.normal(0, 40, clean.shape)).astype(np.uint16)
    parameters = {
        "bilateral": {"sigma_space": 2.0, "sigma_value": 150.0},
        "nlm": {"strength": 50.0, "patch": 2, "search": 5},
    }
    got = getattr(kernels, name)(noisy, **parameters[name]).astype(float)
    assert (got - clean).std() < 0.5 * (noisy - clean).std()
    assert (got[:, 33] - got[:, 30]).min() > 800


@quick
@given(frames(least=0), st.integers(1, 30), st.floats(0, 0.9))
def test_flatten_bias_is_the_specification(frame: Array, radius: int, background: float) -> None:
    got = kernels.flatten_bias(frame, radius=radius, background=background)
    assert got.dtype == np.float32
    want = _reference.flatten_bias(frame, radius, background)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-30)


def test_a_smooth_field_goes_and_the_air_stays() -> None:
    y, x = np.indices((160, 160)) / 160
    tissue = 400 + 300 * ((y * 20).astype(int) % 2)
    tissue[(y - 0.5) ** 2 + (x - 0.5) ** 2 > 0.2] = 3
    coil = np.exp(1.2 * (x - 0.5) - 0.8 * (y - 0.5))
    got = kernels.flatten_bias((tissue * coil).astype(np.float32), radius=20)
    for level in (400, 700):
        inside = tissue == level
        spread = np.std((tissue * coil)[inside]) / np.mean((tissue * coil)[inside])
        assert np.std(got[inside]) / np.mean(got[inside]) < 0.3 * spread
        assert abs(np.mean(got[inside]) / level - 1) < 0.15
    assert got[tissue == 3].max() < 20


@pytest.mark.parametrize("value", [0, 7])
def test_a_constant_stays(value: int) -> None:
    frame = np.full((20, 30), value, np.uint16)
    np.testing.assert_allclose(kernels.flatten_bias(frame, radius=4), value, rtol=1e-6)
    np.testing.assert_array_equal(kernels.bilateral(frame, sigma_space=1.0, sigma_value=5.0), frame)
    np.testing.assert_array_equal(kernels.nlm(frame, strength=5.0, search=3), frame)


def test_negative_values_have_no_logarithm() -> None:
    with pytest.raises(KernelInputError, match=">= 0, got -3"):
        kernels.flatten_bias(np.array([[1, -3]], np.int16), radius=2)


def test_a_span_that_float32_cannot_hold_is_refused() -> None:
    wide = np.array([[-1e300, 1e300]])
    with pytest.raises(KernelInputError, match="float32"):
        kernels.bilateral(wide, sigma_space=1.0, sigma_value=1.0)
    with pytest.raises(KernelInputError, match="float32"):
        kernels.nlm(wide, strength=1.0)
