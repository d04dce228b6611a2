"""Numbered pieces and filled holes against the specification and SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

import kernels
from kernels import KernelInputError, _reference
from tests.test_kernels.frames import Array, frames, quick

STRUCTURE = {4: ndimage.generate_binary_structure(2, 1), 8: np.ones((3, 3))}
MASKS = frames([np.uint8], most=2)
CONNECTIVITY = st.sampled_from([4, 8])


def blobs(density: float, shape: tuple[int, int] = (64, 71)) -> Array:
    return (np.random.default_rng(3).random(shape) < density).astype(np.uint8)


def spiral(side: int) -> Array:
    """One piece that winds inwards: the longest way for labels to meet."""
    mask = np.zeros((side, side), np.uint8)
    top, left, bottom, right = 0, 0, side - 1, side - 1
    while top <= bottom and left <= right:
        mask[top, max(left - 2, 0) : right + 1] = 1
        mask[top : bottom + 1, right] = 1
        mask[bottom, left : right + 1] = 1
        mask[top + 2 : bottom + 1, left] = 1
        top, left, bottom, right = top + 2, left + 2, bottom - 2, right - 2
    return mask


@quick
@given(MASKS, CONNECTIVITY)
def test_components_are_the_specification(mask: Array, connectivity: int) -> None:
    got, count = kernels.components(mask, connectivity=connectivity)
    want, wanted = _reference.components(mask, connectivity)
    assert got.dtype == want.dtype == np.int32
    assert count == wanted
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("connectivity", [4, 8])
@pytest.mark.parametrize("mask", [*map(blobs, (0.2, 0.4, 0.6, 0.9)), spiral(41), spiral(41).T])
def test_components_are_those_of_scipy(mask: Array, connectivity: int) -> None:
    want, wanted = ndimage.label(mask, STRUCTURE[connectivity])
    for labels, count in (
        kernels.components(mask, connectivity=connectivity),
        _reference.components(mask, connectivity),
    ):
        assert count == wanted
        np.testing.assert_array_equal(labels, want)


def test_a_checkerboard_has_as_many_pieces_as_there_can_be() -> None:
    board = (np.indices((31, 45)).sum(axis=0) % 2 == 0).astype(np.uint8)
    assert kernels.components(board, connectivity=4)[1] == (31 * 45 + 1) // 2
    assert kernels.components(board)[1] == 1


@pytest.mark.parametrize("value", [0, 1])
def test_nothing_and_all(value: int) -> None:
    labels, count = kernels.components(np.full((3, 200), bool(value)))
    assert count == value
    assert (labels == value).all()


@quick
@given(MASKS)
def test_fill_holes_is_the_specification_and_that_of_scipy(mask: Array) -> None:
    got = kernels.fill_holes(mask)
    assert got.dtype == np.uint8
    np.testing.assert_array_equal(got, _reference.fill_holes(mask))
    np.testing.assert_array_equal(got, ndimage.binary_fill_holes(mask))


def test_a_hole_that_only_a_corner_opens_is_filled() -> None:
    ring = np.array([[1, 1, 1, 0], [1, 0, 1, 0], [1, 1, 0, 0]], bool)
    assert kernels.fill_holes(ring)[1, 1] == 1
    ring[1, 2] = False
    assert kernels.fill_holes(ring)[1, 1] == 0


def test_largest_component_is_the_most_frequent_number() -> None:
    mask = blobs(0.3)
    labels, _ = kernels.components(mask)
    sizes = np.bincount(labels.ravel())[1:]
    np.testing.assert_array_equal(kernels.largest_component(mask), labels == sizes.argmax() + 1)


@pytest.mark.parametrize("mask", [np.zeros((4, 4), np.int32), np.zeros(4, np.uint8), None])
@pytest.mark.parametrize("operation", [kernels.components, kernels.fill_holes, kernels.shape])
def test_what_is_no_mask_is_refused(operation, mask) -> None:
    with pytest.raises(KernelInputError, match="mask"):
        operation(mask)


@pytest.mark.parametrize("connectivity", [0, 6, 26])
def test_other_neighbourhoods_are_refused(connectivity: int) -> None:
    with pytest.raises(KernelInputError, match="4 or 8"):
        kernels.components(np.ones((2, 2), np.uint8), connectivity=connectivity)
