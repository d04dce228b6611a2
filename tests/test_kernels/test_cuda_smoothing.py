"""The CUDA bodies of the table and of the smoothing operations, against the specification."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest

import kernels
from kernels import _cupy, _reference
from tests.test_kernels.frames import Array, picture

SHAPES = [(1, 1), (1, 7), (13, 29)]
DTYPES = [np.uint8, np.float32]  # each type costs a compilation


def close(got: Array, want: Array, dtype: type) -> None:
    """float32 inside: apart by a level where a half is rounded."""
    assert got.dtype == dtype
    atol = 1 if np.dtype(dtype).kind in "ui" else 0.02
    np.testing.assert_allclose(got.astype(float), want.astype(float), atol=atol)


@pytest.mark.parametrize("entry", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("dtype", DTYPES)
def test_lut(cupy: ModuleType, dtype: type, entry: type) -> None:
    frame = picture((13, 29), dtype=dtype, top=200)
    table = np.random.default_rng(3).integers(0, 255, 90).astype(entry)
    for first in (-5, 0, 60, 300):
        want = _reference.lut(frame, table, first)
        got = kernels.lut(cupy.asarray(frame), table=table, first=first)
        np.testing.assert_array_equal(cupy.asnumpy(got), want, strict=True)
    got = kernels.lut(cupy.asarray(frame), table=cupy.asarray(table), first=0)
    np.testing.assert_array_equal(cupy.asnumpy(got), _reference.lut(frame, table, 0))


def test_lut_stays_in_its_table_whatever_the_values(cupy: ModuleType) -> None:
    frame = np.array([[np.nan, np.inf, -np.inf, 1e30]], np.float32)
    table = np.arange(10, 20, dtype=np.uint8)
    got = cupy.asnumpy(kernels.lut(cupy.asarray(frame), table=table, first=3))
    np.testing.assert_array_equal(got, [[10, 19, 10, 19]])


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_bilateral(cupy: ModuleType, shape: tuple[int, int], dtype: type) -> None:
    frame = picture(shape, dtype=dtype, top=250)
    got = kernels.bilateral(cupy.asarray(frame), sigma_space=1.5, sigma_value=30.0)
    close(cupy.asnumpy(got), _reference.bilateral(frame, 1.5, 30.0, 2), dtype)


@pytest.mark.parametrize(("shape", "patch", "search"), [((1, 7), 1, 2), ((19, 29), 2, 3)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_nlm(
    cupy: ModuleType, shape: tuple[int, int], patch: int, search: int, dtype: type
) -> None:
    frame = picture(shape, dtype=dtype, top=250)
    got = kernels.nlm(cupy.asarray(frame), strength=25.0, patch=patch, search=search)
    close(cupy.asnumpy(got), _reference.nlm(frame, 25.0, patch, search), dtype)


def test_nlm_fits_its_widest_patch_and_search(cupy: ModuleType) -> None:
    frame = picture((5, 3), dtype=np.uint8, top=250)
    got = kernels.nlm(cupy.asarray(frame), strength=25.0, patch=7, search=20)
    close(cupy.asnumpy(got), _reference.nlm(frame, 25.0, 7, 20), np.uint8)


def test_small_differences_of_large_values_count(cupy: ModuleType) -> None:
    low = np.random.default_rng(0).integers(0, 50, (9, 11)).astype(np.uint32)
    base = np.uint32(10**9)
    frame = cupy.asarray(low + base)
    got = cupy.asnumpy(kernels.bilateral(frame, sigma_space=1.0, sigma_value=20.0))
    close(got - base, _reference.bilateral(low, 1.0, 20.0, 2), np.uint32)
    got = cupy.asnumpy(kernels.nlm(frame, strength=20.0, patch=1, search=2))
    close(got - base, _reference.nlm(low, 20.0, 1, 2), np.uint32)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_flatten_bias(cupy: ModuleType, shape: tuple[int, int], dtype: type) -> None:
    frame = picture(shape, dtype=dtype, top=250)
    got = cupy.asnumpy(kernels.flatten_bias(cupy.asarray(frame), radius=4))
    want = _reference.flatten_bias(frame, 4, 0.1)
    np.testing.assert_allclose(got, want, rtol=1e-5, strict=True)


def test_a_batch_is_its_frames(cupy: ModuleType) -> None:
    batch = np.stack([picture((9, 21), dtype=np.uint8, top=250, seed=seed) for seed in range(3)])
    on_device = cupy.asarray(batch)
    table = np.arange(300, dtype=np.uint16)[::-1].copy()
    for name, arguments in (
        ("lut", (table, 0)),
        ("bilateral", (1.5, 30.0, 2)),
        ("nlm", (25.0, 1, 2)),
        ("flatten_bias", (3, 0.1)),
    ):
        together = cupy.asnumpy(getattr(_cupy, name)(on_device, *arguments))
        for got, frame in zip(together, batch, strict=True):
            alone = getattr(_cupy, name)(cupy.asarray(frame), *arguments)
            np.testing.assert_array_equal(got, cupy.asnumpy(alone))
