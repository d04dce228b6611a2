"""The CUDA bodies give what the specification gives: on the CPU, and on a GPU if there is one."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest

import kernels
from kernels import _cupy, _reference
from tests.test_kernels.frames import Array, picture

# None is a multiple of what a block takes, or a thread.
SHAPES = [(1, 1), (1, 7), (13, 29), (70, 37)]
DTYPES = [np.uint8, np.int16, np.uint16, np.float32, np.float64]
FEW = [np.int16, np.float32]  # each type costs a compilation
RARE = [np.int8, np.int32, np.uint32]  # computed as another type


def values(shape: tuple[int, ...], dtype: Any, seed: int = 0) -> Array:
    """Return numbers of either sign where the dtype has them; many are equal."""
    rng = np.random.default_rng(seed)
    bound = 100 if np.dtype(dtype).itemsize == 1 else 3000
    low = 0 if np.dtype(dtype).kind == "u" else -bound
    drawn = rng.integers(low, bound, shape)
    return (drawn / (4 if np.dtype(dtype).kind == "f" else 1)).astype(dtype)


def check_levels(got: Array, want: Array) -> None:
    """Few may differ, and by 1: sums in another order fall to the other side of a half."""
    assert (got.dtype, got.shape) == (want.dtype, want.shape)
    difference = abs(got.astype(float) - want)
    assert difference.max() <= 1
    assert np.count_nonzero(difference) <= want.size / 50


def check_numbers(got: Array, want: Array) -> None:
    """Integers as `check_levels`, floats to within a rounding."""
    if want.dtype.kind in "ui":
        check_levels(got, want)
    else:
        np.testing.assert_allclose(got, want, atol=1e-3, strict=True)


def run(cupy: ModuleType, name: str, frame: Array, /, **parameters: Any) -> Array:
    """Run a kernel on the device and bring its result back."""
    got: Array = cupy.asnumpy(getattr(kernels, name)(cupy.asarray(frame), **parameters))
    return got


@pytest.mark.parametrize("dtype", [*DTYPES, *RARE])
def test_modality(cupy: ModuleType, dtype: type) -> None:
    frame = values((13, 29), dtype)
    got = run(cupy, "modality", frame, slope=1.7, intercept=-1024.0)
    np.testing.assert_array_equal(got, _reference.modality(frame, 1.7, -1024.0), strict=True)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("center", "width"), [(40.5, 1.0), (40.0, 2.0), (40.0, 400.0)])
@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
def test_window(
    cupy: ModuleType, shape: tuple[int, int], center: float, width: float, function: str
) -> None:
    frame = values(shape, np.int16)
    frame[0, 0] = 40  # the edge of a threshold
    given: dict[str, Any] = {"center": center, "width": width, "function": function}
    want = _reference.window(frame, center, width, function, 0)
    np.testing.assert_allclose(run(cupy, "window", frame, **given), want, atol=1e-6, strict=True)
    levels = run(cupy, "window", frame, **given, bins=256)
    check_levels(levels, _reference.window(frame, center, width, function, 256))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_percentile_window(cupy: ModuleType, shape: tuple[int, int], dtype: type) -> None:
    frame = values(shape, dtype)
    last = frame.size - 1
    for low, high in [(0, 100), (1, 99.5), (50, 50.1)]:
        got = run(cupy, "percentile_window", frame, low=low, high=high)
        ranks = int(low / 100 * last + 0.5), int(high / 100 * last + 0.5)
        want = _reference.percentile_window(frame, *ranks, 4096)
        np.testing.assert_array_equal(got, want, strict=True)


@pytest.mark.parametrize(
    ("shape", "tiles"), [((1, 1), (1, 1)), ((32, 24), (4, 4)), ((25, 40), (3, 2))]
)
@pytest.mark.parametrize("bins", [256, 4096, 65536])
@pytest.mark.parametrize("clip_limit", [0.0, 2.0, 40.0])
def test_clahe(
    cupy: ModuleType, shape: tuple[int, int], tiles: tuple[int, int], bins: int, clip_limit: float
) -> None:
    frame = picture(shape, top=bins - 1) if shape != (1, 1) else np.array([[bins - 1]], np.uint16)
    got = run(cupy, "clahe", frame, clip_limit=clip_limit, tiles=tiles, bins=bins)
    want = _reference.clahe(frame, clip_limit, tiles, bins)
    np.testing.assert_array_equal(got, want, strict=True)


def test_clahe_stays_in_its_tables_whatever_the_values(cupy: ModuleType) -> None:
    """On a GPU nobody looks at the values first."""
    frame = picture((32, 32), top=65535)
    for bins in (255, 5000):
        got = run(cupy, "clahe", frame, clip_limit=2.0, tiles=(2, 2), bins=bins)
        want = _reference.clahe(np.minimum(frame, bins - 1), 2.0, (2, 2), bins)
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("dtype", FEW)
def test_median3(cupy: ModuleType, dtype: type) -> None:
    for shape in SHAPES:
        frame = values(shape, dtype)
        want = _reference.median3(frame)
        np.testing.assert_array_equal(run(cupy, "median3", frame), want, strict=True)


@pytest.mark.parametrize("dtype", FEW)
@pytest.mark.parametrize("sigma", [0.6, 3.0])
def test_unsharp(cupy: ModuleType, dtype: type, sigma: float) -> None:
    frame = values((13, 29), dtype)
    got = run(cupy, "unsharp", frame, sigma=sigma, amount=1.5)
    check_numbers(got, _reference.unsharp(frame, sigma, 1.5))


@pytest.mark.parametrize("dtype", [np.int16, np.float32, np.int32])
@pytest.mark.parametrize("method", ["auto", "area", "linear", "cubic"])
def test_resample(cupy: ModuleType, dtype: type, method: str) -> None:
    frame = values((13, 29), dtype)
    for shape in [(26, 40), (5, 29), (3, 70), (1, 1)]:
        got = run(cupy, "resample", frame, shape=shape, method=method)
        check_numbers(got, _reference.resample(frame, shape, method))


def test_what_overshoots_is_cut(cupy: ModuleType) -> None:
    steps = np.kron(np.array([[0, 255], [255, 0]]), np.ones((6, 6))).astype(np.uint8)
    got = run(cupy, "resample", steps, shape=(25, 31), method="cubic")
    check_levels(got, _reference.resample(steps, (25, 31), "cubic"))
    got = run(cupy, "unsharp", steps, sigma=2.0, amount=1.5)
    check_levels(got, _reference.unsharp(steps, 2.0, 1.5))


@pytest.mark.parametrize("dtype", FEW)
def test_normalise(cupy: ModuleType, dtype: type) -> None:
    for shape in [*SHAPES, (120, 77)]:
        frame = values(shape, dtype)
        got = run(cupy, "normalise", frame, spread=2.0)
        check_levels(got, _reference.normalise(frame, 2.0))
    constant = np.full((70, 70), 0.1).astype(dtype)
    assert (run(cupy, "normalise", constant) == 128).all()


def test_letterbox_and_back(cupy: ModuleType) -> None:
    frame = values((13, 29), np.uint8)
    canvas = run(cupy, "letterbox", frame, size=32)
    want = kernels.letterbox(frame, size=32)
    check_levels(canvas, want)
    back = run(cupy, "unletterbox", want, shape=frame.shape)
    np.testing.assert_array_equal(back, kernels.unletterbox(want, shape=frame.shape), strict=True)


MASKS = {
    "empty": np.zeros((5, 7), np.uint8),
    "full": np.full((9, 40), 3, np.uint8),
    "ties": np.array([[0, 1, 1, 0, 2, 2], [0, 0, 0, 0, 0, 0], [3, 3, 0, 0, 0, 0]], np.uint8),
    "diagonal": np.eye(20, dtype=np.uint8),
    "other diagonal": np.eye(20, dtype=np.uint8)[:, ::-1],
    "spiral": np.array(
        [[1, 1, 1, 1, 1], [0, 0, 0, 0, 1], [1, 1, 1, 0, 1], [1, 0, 0, 0, 1], [1, 1, 1, 1, 1]],
        np.uint8,
    ),
    "noise": (np.random.default_rng(1).random((37, 41)) < 0.4).astype(np.uint8),
    "dense": (np.random.default_rng(2).random((37, 300)) < 0.5).astype(np.uint8) * 2,
}


@pytest.mark.parametrize("name", MASKS)
def test_largest_component(cupy: ModuleType, name: str) -> None:
    got = run(cupy, "largest_component", MASKS[name])
    np.testing.assert_array_equal(got, _reference.largest_component(MASKS[name]), strict=True)


@pytest.mark.parametrize("shape", [(13, 29), (40, 58)])
@pytest.mark.parametrize("function", ["LINEAR", "SIGMOID"])
def test_window_resample_normalise(cupy: ModuleType, shape: tuple[int, int], function: str) -> None:
    frame = values((40, 58), np.int16)
    given: dict[str, Any] = {"center": 40.0, "width": 4000.0, "shape": shape, "function": function}
    got = run(cupy, "window_resample_normalise", frame, **given)
    want = _reference.window_resample_normalise(frame, 40.0, 4000.0, function, shape, "auto", 3.0)
    check_levels(got, want)


@pytest.mark.parametrize("layout", ["fortran", "strided", "reversed"])
def test_layout_does_not_matter(cupy: ModuleType, layout: str) -> None:
    frame = cupy.asarray(values((26, 58), np.int16))
    other = {"fortran": frame.T, "strided": frame[::2, 1::3], "reversed": frame[::-1, ::-1]}[layout]
    want = _reference.median3(cupy.asnumpy(other))
    np.testing.assert_array_equal(cupy.asnumpy(kernels.median3(other)), want)


def test_an_odd_address_does_not_matter(cupy: ModuleType) -> None:
    """Four pixels at a time are loaded only where they lie at a multiple of four."""
    frame = cupy.asarray(values((5, 1000), np.int16))
    for first in range(4):
        row = frame[first, first:][None]
        got = cupy.asnumpy(kernels.modality(row, slope=2, intercept=1))
        np.testing.assert_array_equal(got, _reference.modality(cupy.asnumpy(row), 2, 1))


BATCHES: dict[str, tuple[type, tuple[Any, ...]]] = {
    "clahe": (np.uint16, (2.0, (3, 2), 4096)),
    "largest_component": (np.uint8, ()),
    "median3": (np.int16, ()),
    "modality": (np.int16, (2.0, -1.0)),
    "nearest": (np.uint8, ((30, 11),)),
    "normalise": (np.float32, (3.0,)),
    "percentile_window": (np.int16, (10, 300, 4096)),
    "resample": (np.int16, ((30, 11), "auto")),
    "unsharp": (np.int16, (1.0, 0.5)),
    "window": (np.int16, (40.0, 400.0, "LINEAR", 0)),
    "window_resample_normalise": (np.int16, (40.0, 400.0, "LINEAR", (30, 11), "auto", 3.0)),
}


@pytest.mark.parametrize("name", BATCHES)
def test_a_batch_is_its_frames(cupy: ModuleType, name: str) -> None:
    dtype, parameters = BATCHES[name]
    batch = values((3, 22, 17), dtype)
    body = getattr(_cupy, name)
    got = cupy.asnumpy(body(cupy.asarray(batch), *parameters))
    alone = [cupy.asnumpy(body(cupy.asarray(frame), *parameters)) for frame in batch]
    np.testing.assert_array_equal(got, np.stack(alone), strict=True)
