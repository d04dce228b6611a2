"""Resampling, letterbox and back."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import kernels
from kernels import KernelInputError, _reference
from kernels._reference.resample import weights
from tests.test_kernels.frames import FLOATS, INTEGERS, Array, frames, picture, quick

sides = st.integers(1, 45)


@quick
@given(frames(), sides, sides, st.sampled_from(["auto", "area", "linear", "cubic"]))
def test_resample_is_the_specification(frame: Array, rows: int, columns: int, method: str) -> None:
    got = kernels.resample(frame, shape=(rows, columns), method=method)
    assert got.shape == (rows, columns)
    assert got.dtype == frame.dtype
    want = _reference.resample(frame, (rows, columns), method)
    atol = 1 if frame.dtype.kind in "ui" else 0.1  # values reach 1e6
    np.testing.assert_allclose(got.astype(float), want.astype(float), atol=atol, rtol=1e-6)


@pytest.mark.parametrize("shape", [(100, 130), (33, 40), (64, 64), (200, 50)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float32])
def test_linear_is_opencv(shape: tuple[int, int], dtype: type) -> None:
    frame = picture((64, 64), dtype=dtype, top=255)
    rows, columns = max(shape[0], 33), max(shape[1], 33)
    got = kernels.resample(frame, shape=(rows, columns)).astype(float)
    want = cv2.resize(frame, (columns, rows), interpolation=cv2.INTER_LINEAR).astype(float)
    np.testing.assert_allclose(got, want, atol=1 if dtype != np.float32 else 1e-2)


@pytest.mark.parametrize("shape", [(32, 32), (16, 20), (21, 30), (7, 1)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_area_is_opencv(shape: tuple[int, int], dtype: type) -> None:
    frame = picture((64, 80), dtype=dtype, top=255)
    got = kernels.resample(frame, shape=shape).astype(float)
    want = cv2.resize(frame, shape[::-1], interpolation=cv2.INTER_AREA).astype(float)
    np.testing.assert_allclose(got, want, atol=1 if dtype != np.float32 else 1e-2)


@pytest.mark.parametrize("method", ["area", "linear", "cubic"])
@pytest.mark.parametrize("shape", [(50, 70), (33, 41), (30, 30)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_each_method_is_that_of_opencv(method: str, shape: tuple[int, int], dtype: type) -> None:
    frame = picture((64, 80), dtype=dtype, top=255)
    if method != "area":  # enlarging by area is another thing in OpenCV
        shape = (shape[0] * 3 // 2, shape[1])
    flag = {"area": cv2.INTER_AREA, "linear": cv2.INTER_LINEAR, "cubic": cv2.INTER_CUBIC}[method]
    want = cv2.resize(frame, shape[::-1], interpolation=flag).astype(float)
    got = kernels.resample(frame, shape=shape, method=method).astype(float)
    np.testing.assert_allclose(got, want, atol=1 if dtype != np.float32 else 1e-2)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int16, np.uint16])
@pytest.mark.parametrize("shape", [(16, 20), (8, 10), (32, 10), (4, 40), (1, 5)])
def test_halving_is_exact(dtype: type, shape: tuple[int, int]) -> None:
    limits = np.iinfo(dtype)
    rng = np.random.default_rng(5)
    frame = rng.integers(limits.min, limits.max, (32, 40), dtype, endpoint=True)
    got = kernels.resample(frame, shape=shape, method="area")
    np.testing.assert_array_equal(got, _reference.resample(frame, shape, "area"))


def test_a_cubic_stays_inside_the_dtype() -> None:
    frame = np.zeros((9, 9), np.uint8)
    frame[:, 4:] = 255
    got = kernels.resample(frame, shape=(40, 40), method="cubic")
    assert (got[:, :15] < 30).all()
    assert (got[:, 25:] > 225).all()


def test_regrid_keeps_the_field_of_view() -> None:
    """A grid of whole pixels: the spacing that it has is said, not the one that was wanted."""
    grid = kernels.regrid((100, 256), spacing=(1.5, 0.7), to=(1.0, 1.0))
    assert grid.shape == (150, 179)
    np.testing.assert_allclose(grid.spacing, (1.0, 256 * 0.7 / 179), rtol=1e-15)
    assert kernels.regrid((3, 3), spacing=(1, 1), to=(50, 50)).shape == (1, 1)


@pytest.mark.parametrize(
    "wrong", [{"to": (0, 1)}, {"to": (1e-9, 1)}, {"spacing": (float("nan"), 1)}, {"to": (1,)}]
)
def test_a_spacing_that_makes_no_grid_is_refused(wrong: dict[str, tuple[float, float]]) -> None:
    with pytest.raises(KernelInputError):
        kernels.regrid((256, 256), **({"spacing": (1.0, 1.0), "to": (2.0, 2.0)} | wrong))


def test_a_method_that_does_not_exist_is_refused() -> None:
    with pytest.raises(KernelInputError, match="one of auto, area, linear, cubic"):
        kernels.resample(np.ones((4, 4)), shape=(4, 4), method="spline")


@quick
@given(sides, sides, st.sampled_from(["auto", "area", "linear"]))
def test_weights_sum_to_one(before: int, after: int, method: str) -> None:
    matrix = weights(before, after, method)
    assert (matrix >= 0).all()
    np.testing.assert_allclose(matrix.sum(axis=1), 1)


@pytest.mark.parametrize("dtype", INTEGERS + FLOATS)
def test_a_constant_stays(dtype: type) -> None:
    frame = np.full((13, 29), np.iinfo(dtype).max if dtype in INTEGERS else 0.3, dtype)
    for shape in [(50, 50), (5, 6), (13, 7), (20, 29)]:
        np.testing.assert_allclose(kernels.resample(frame, shape=shape), frame[0, 0], rtol=1e-12)


@quick
@given(sides, sides, st.integers(1, 64))
def test_fit_keeps_aspect_and_stays_inside(rows: int, columns: int, size: int) -> None:
    place = kernels.fit((rows, columns), size)
    assert max(place.rows, place.columns) == size
    assert min(place.rows, place.columns, place.top + 1, place.left + 1) >= 1
    assert abs(place.rows / size * max(rows, columns) - rows) <= max(rows, columns) / size
    assert 0 <= size - place.rows - 2 * place.top <= 1
    assert 0 <= size - place.columns - 2 * place.left <= 1


def test_the_square_of_the_size_passes_untouched() -> None:
    frame = picture((32, 32))
    mask = (frame > 2000).astype(np.uint8)
    assert kernels.resample(frame, shape=(32, 32)) is frame
    assert kernels.letterbox(frame, size=32) is frame
    assert kernels.unletterbox(mask, shape=(32, 32)) is mask


def test_letterbox_centres_the_picture_on_zero() -> None:
    got = kernels.letterbox(np.full((10, 20), 7, np.int16), size=40)
    assert got.shape == (40, 40)
    assert got.dtype == np.int16
    assert (got[10:30] == 7).all()
    assert not got[:10].any()
    assert not got[30:].any()


@quick
@given(frames([np.uint8]), st.integers(1, 64))
def test_nearest_is_the_specification(frame: Array, size: int) -> None:
    mask = kernels.letterbox(frame, size=size)
    got = kernels.unletterbox(mask, shape=frame.shape)
    place = kernels.fit(frame.shape, size)
    box = mask[place.top : place.top + place.rows, place.left : place.left + place.columns]
    assert got.dtype == np.uint8
    np.testing.assert_array_equal(got, _reference.nearest(box, frame.shape))


@quick
@given(frames([np.uint8], most=3), st.sampled_from([1, 2, 3, 5]))
def test_a_mask_blown_up_comes_back(mask: Array, times: int) -> None:
    side = max(mask.shape) * times
    big = np.zeros((side, side), np.uint8)
    place = kernels.fit(mask.shape, side)
    blown = np.repeat(np.repeat(mask, times, axis=0), times, axis=1)
    big[place.top : place.top + place.rows, place.left : place.left + place.columns] = blown
    np.testing.assert_array_equal(kernels.unletterbox(big, shape=mask.shape), mask)


@pytest.mark.parametrize("mask", [np.zeros((4, 5), np.uint8), np.zeros((4, 4), np.int16)])
def test_unletterbox_refuses_what_is_no_label_map(mask: Array) -> None:
    with pytest.raises(KernelInputError, match="square uint8"):
        kernels.unletterbox(mask, shape=(3, 3))


def test_grids_without_pixels_are_refused() -> None:
    frame = np.ones((4, 4), np.uint8)
    for refused in (
        lambda: kernels.resample(frame, shape=(0, 4)),
        lambda: kernels.letterbox(frame, size=0),
        lambda: kernels.unletterbox(frame, shape=(4, 0)),
        lambda: kernels.fit((4, 4), 0),
    ):
        with pytest.raises(KernelInputError, match="each >= 1"):
            refused()
