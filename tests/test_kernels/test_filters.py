"""Median and unsharp mask against the specification, SciPy and OpenCV."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

import kernels
from kernels import _reference
from tests.test_kernels.frames import Array, frames, picture, quick


@quick
@given(frames())
def test_median3_is_the_specification(frame: Array) -> None:
    got = kernels.median3(frame)
    assert got.dtype == frame.dtype
    np.testing.assert_array_equal(got, _reference.median3(frame))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float32])
def test_median3_is_that_of_opencv(dtype: type) -> None:
    frame = picture((50, 61), dtype=dtype, top=255)
    np.testing.assert_array_equal(kernels.median3(frame), cv2.medianBlur(frame, 3))


@quick
@given(frames(), st.floats(0.1, 5), st.floats(-1, 5))
def test_unsharp_is_the_specification(frame: Array, sigma: float, amount: float) -> None:
    got = kernels.unsharp(frame, sigma=sigma, amount=amount)
    assert got.dtype == frame.dtype
    want = _reference.unsharp(frame, sigma, amount)
    atol = 1 if frame.dtype.kind in "ui" else 1.0  # values reach 1e6, sharpened 1e7
    np.testing.assert_allclose(got.astype(float), want.astype(float), atol=atol, rtol=1e-6)


@pytest.mark.parametrize("sigma", [0.5, 1.0, 2.3])
def test_unsharp_is_made_of_the_blur_of_scipy(sigma: float) -> None:
    frame = picture((40, 52)).astype(np.float64)
    blurred = ndimage.gaussian_filter(frame, sigma, mode="nearest")
    got = kernels.unsharp(frame, sigma=sigma, amount=0.7)
    np.testing.assert_allclose(got, frame + 0.7 * (frame - blurred), rtol=1e-9, atol=1e-6)


@pytest.mark.parametrize("amount", [1e39, 1e308, -1e308])
def test_a_flat_region_stays_whatever_the_amount(amount: float) -> None:
    frame = np.full((9, 9), 128, np.uint8)
    got = kernels.unsharp(frame, sigma=0.1, amount=amount)
    np.testing.assert_array_equal(got, frame)


def test_unsharp_stays_inside_the_dtype() -> None:
    frame = np.zeros((9, 9), np.uint8)
    frame[:, 4:] = 255
    got = kernels.unsharp(frame, sigma=1.0, amount=10.0)
    assert set(np.unique(got)) == {0, 255}
