"""The largest connected piece against the specification and SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from scipy import ndimage

import kernels
from kernels import KernelInputError, _reference
from tests.test_kernels.frames import Array, frames, quick


@quick
@given(frames([np.uint8], most=2))
def test_largest_component_is_the_specification(mask: Array) -> None:
    got = kernels.largest_component(mask)
    assert got.dtype == np.uint8
    np.testing.assert_array_equal(got, _reference.largest_component(mask))


@pytest.mark.parametrize("density", [0.2, 0.35, 0.6])
def test_largest_component_is_that_of_scipy(density: float) -> None:
    mask = (np.random.default_rng(3).random((64, 71)) < density).astype(np.uint8)
    numbers, _ = ndimage.label(mask, np.ones((3, 3)))
    kept = numbers == np.bincount(numbers[mask > 0]).argmax()
    np.testing.assert_array_equal(kernels.largest_component(mask), kept)
    np.testing.assert_array_equal(_reference.largest_component(mask), kept)


def test_corners_touch_labels_stay_and_the_first_of_equals_wins() -> None:
    mask = np.array([[1, 0, 0, 0, 3], [0, 2, 0, 3, 0], [0, 0, 0, 0, 0]], np.uint8)
    want = np.array([[1, 0, 0, 0, 0], [0, 2, 0, 0, 0], [0, 0, 0, 0, 0]], np.uint8)
    np.testing.assert_array_equal(kernels.largest_component(mask), want)


@pytest.mark.parametrize("value", [0, 1])
def test_nothing_stays_nothing_and_all_stays_all(value: int) -> None:
    mask = np.full((40, 300), value, np.uint8)
    np.testing.assert_array_equal(kernels.largest_component(mask), mask)
    np.testing.assert_array_equal(kernels.largest_component(mask.astype(bool)), mask)


@pytest.mark.parametrize(
    "mask", [np.zeros((4, 4), np.int32), np.zeros((4, 4)), np.zeros(4, np.uint8)]
)
def test_what_is_no_mask_is_refused(mask: Array) -> None:
    with pytest.raises(KernelInputError, match="mask"):
        kernels.largest_component(mask)
