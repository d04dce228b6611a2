"""The CUDA bodies of regions and features: on the CPU always, on a GPU if there is one."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

import kernels
from kernels import KernelInputError
from tests.test_kernels.frames import Array, picture

# Rows that are no multiple of what a block takes; more than one block; less than a filter.
SHAPES = [(1, 1), (2, 9), (13, 29), (37, 41)]


def values(shape: tuple[int, int], dtype: Any) -> Array:
    """Return a picture with values of either sign where the dtype has them."""
    below = 0 if np.dtype(dtype).kind == "u" else 100
    return (picture(shape, dtype=np.float64, top=250) - below).astype(dtype)


def masks(shape: tuple[int, int]) -> list[Array | None]:
    rng = np.random.default_rng(2)
    some = (rng.random(shape) < 0.4).astype(np.uint8) * 3
    some[-1, 0] = 1
    one = np.zeros(shape, bool)
    one[shape[0] // 2, shape[1] // 2] = True
    return [None, some, one]


def spiral(side: int) -> Array:
    mask = np.zeros((side, side), np.uint8)
    mask[::2] = 1
    mask[1::4, -1] = mask[3::4, 0] = 1
    return mask


MASKS = {
    "empty": np.zeros((5, 7), np.uint8),
    "full": np.full((9, 40), 3, np.uint8),
    "one": np.ones((1, 1), np.uint8),
    "diagonal": np.eye(20, dtype=np.uint8)[:, ::-1],
    "snake": spiral(31),
    "sparse": (np.random.default_rng(1).random((37, 41)) < 0.3).astype(np.uint8),
    "dense": (np.random.default_rng(1).random((41, 300)) < 0.6).astype(np.uint8),
}


@pytest.mark.parametrize("name", MASKS)
@pytest.mark.parametrize("connectivity", [4, 8])
def test_components(cupy: ModuleType, name: str, connectivity: int) -> None:
    mask = MASKS[name]
    labels, count = kernels.components(cupy.asarray(mask), connectivity=connectivity)
    structure = ndimage.generate_binary_structure(2, 1 if connectivity == 4 else 2)
    want, wanted = ndimage.label(mask, structure)
    assert count == wanted
    np.testing.assert_array_equal(cupy.asnumpy(labels), want)


@pytest.mark.parametrize("name", MASKS)
def test_fill_holes(cupy: ModuleType, name: str) -> None:
    mask = MASKS[name]
    got = cupy.asnumpy(kernels.fill_holes(cupy.asarray(mask)))
    assert got.dtype == np.uint8
    np.testing.assert_array_equal(got, ndimage.binary_fill_holes(mask))


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("first_order", np.int16),
        ("first_order", np.int32),  # computed as float64
        ("gradient", np.float64),
        ("glcm", np.float64),
    ],
)
def test_features_of_regions(cupy: ModuleType, name: str, dtype: type) -> None:
    feature = getattr(kernels, name)
    for shape in SHAPES:
        frame = values(shape, dtype)
        for mask in masks(shape):
            on_device = None if mask is None else cupy.asarray(mask)
            got = feature(cupy.asarray(frame), on_device)
            assert got == pytest.approx(feature(frame, mask), rel=1e-7, abs=1e-7)


@pytest.mark.parametrize("levels", [2, 64, 65, 256])
def test_glcm_counts_any_levels_and_distances(cupy: ModuleType, levels: int) -> None:
    frame = picture((23, 31), dtype=np.float64)
    given: dict[str, Any] = {"levels": levels, "distances": (1, 4, 25, 40)}
    got = kernels.glcm(cupy.asarray(frame), **given)
    assert got == pytest.approx(kernels.glcm(frame, **given), rel=1e-12)


@pytest.mark.parametrize("bins", [2, 1000])
def test_first_order_takes_any_bins(cupy: ModuleType, bins: int) -> None:
    frame = picture((23, 31), dtype=np.float64) - 2000
    got = kernels.first_order(cupy.asarray(frame), bins=bins)
    assert got == pytest.approx(kernels.first_order(frame, bins=bins), rel=1e-9)


@pytest.mark.parametrize("name", [name for name in MASKS if name != "empty"])
def test_shape(cupy: ModuleType, name: str) -> None:
    spacing = (1.5, 0.7)
    want = kernels.shape(MASKS[name], spacing=spacing)
    assert kernels.shape(cupy.asarray(MASKS[name]), spacing=spacing) == want


@pytest.mark.parametrize(("name", "dtype"), [("sharpness", np.int16), ("noise", np.float64)])
def test_quality(cupy: ModuleType, name: str, dtype: type) -> None:
    feature = getattr(kernels, name)
    for shape in [*SHAPES, (3, 3), (1, 40)]:
        frame = values(shape, dtype)
        assert feature(cupy.asarray(frame)) == pytest.approx(feature(frame), rel=1e-9, abs=1e-9)


def test_an_empty_region_is_refused(cupy: ModuleType) -> None:
    frame, mask = (
        cupy.asarray(picture((5, 6), dtype=np.float64)),
        cupy.asarray(np.zeros((5, 6), bool)),
    )
    for feature in (kernels.first_order, kernels.gradient, kernels.glcm):
        with pytest.raises(KernelInputError, match="empty"):
            feature(frame, mask)
    with pytest.raises(KernelInputError, match="empty"):
        kernels.shape(mask)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_nobody_looked_at_stay_inside_the_tables(
    cupy: ModuleType, value: float
) -> None:
    frame = picture((9, 11), dtype=np.float64)
    frame[4, 5] = value
    for feature in (kernels.first_order, kernels.gradient, kernels.glcm):
        feature(cupy.asarray(frame))
