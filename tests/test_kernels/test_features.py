"""Features of regions and frames against the specification, NumPy, SciPy, scikit-image, OpenCV."""

from __future__ import annotations

import math
import warnings

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage, stats
from skimage import feature, filters, measure

import kernels
from kernels import _reference
from tests.test_kernels.frames import Array, frames, picture, quick, with_layout

DTYPES = [np.uint8, np.int16, np.uint16, np.float32, np.float64]
REGIONAL = [kernels.first_order, kernels.gradient, kernels.glcm]


@st.composite
def regions(draw: st.DrawFn) -> tuple[Array, Array | None]:
    """Draw a frame, and a mask with a pixel inside, or none."""
    frame = draw(frames())
    if draw(st.booleans()):
        return frame, None
    mask = draw(hnp.arrays(np.uint8, frame.shape, elements=st.integers(0, 2)))
    mask[draw(st.integers(0, frame.shape[0] - 1)), draw(st.integers(0, frame.shape[1] - 1))] = 1
    return frame, with_layout(mask, draw(st.sampled_from(["plain", "fortran", "read-only"])))


def disc(shape: tuple[int, int], centre: tuple[float, float], radius: float) -> Array:
    y, x = np.indices(shape)
    mask: Array = ((y - centre[0]) ** 2 + (x - centre[1]) ** 2 < radius**2).astype(np.uint8)
    return mask


def ellipse(angle: float) -> Array:
    """Return an ellipse of half axes 30 and 12, its long axis `angle` from the rows' direction."""
    y, x = np.indices((90, 100)) - np.array([[[44]], [[51]]])
    along = y * math.cos(angle) + x * math.sin(angle)
    across = x * math.cos(angle) - y * math.sin(angle)
    mask: Array = ((along / 30) ** 2 + (across / 12) ** 2 < 1).astype(np.uint8)
    return mask


@quick
@given(regions(), st.integers(2, 300))
def test_first_order_is_the_specification(region: tuple[Array, Array | None], bins: int) -> None:
    got = kernels.first_order(*region, bins=bins)
    count, *want = _reference.first_order(*region, bins)
    assert count > 0
    np.testing.assert_allclose(list(got.values()), want, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("dtype", DTYPES)
def test_first_order_is_that_of_numpy_and_scipy(dtype: type) -> None:
    frame = picture((60, 71), dtype=dtype, top=250)
    mask = disc(frame.shape, (28, 33), 20)
    inside = frame[mask > 0].astype(float)
    counts, _ = np.histogram(inside, bins=32)
    want = {
        "mean": inside.mean(),
        "std": inside.std(),
        "min": inside.min(),
        "max": inside.max(),
        **{f"p{q}": np.percentile(inside, q) for q in (10, 25, 75, 90)},
        "median": np.median(inside),
        "skewness": stats.skew(inside),
        "kurtosis": stats.kurtosis(inside),
        "entropy": stats.entropy(counts, base=2),
    }
    got = kernels.first_order(frame, mask)
    assert list(got) == list(kernels.first_order.__globals__["NAMES"])
    assert got == pytest.approx(want, rel=1e-9)


def test_first_order_is_that_of_the_digital_phantom_of_ibsi() -> None:
    """The consensus values of the IBSI reference manual, for its 74 voxels of 4 levels."""
    phantom = np.repeat([1, 3, 4, 6], [50, 1, 16, 7]).reshape(2, 37)
    got = kernels.first_order(phantom, bins=6)
    assert got["mean"] == pytest.approx(2.15, abs=0.005)
    assert got["std"] ** 2 == pytest.approx(3.05, abs=0.005)
    assert got["skewness"] == pytest.approx(1.08, abs=0.005)
    assert got["kurtosis"] == pytest.approx(-0.355, abs=0.0005)
    assert got["entropy"] == pytest.approx(1.27, abs=0.005)
    assert [got[name] for name in ("min", "p10", "median", "p90", "max")] == [1, 1, 1, 4, 6]


def test_the_units_scale_with_the_values_and_the_rest_stays() -> None:
    frame = picture((40, 40), dtype=np.float64)
    got, scaled = kernels.first_order(frame), kernels.first_order(3 * frame - 1000)
    for name, value in got.items():
        unit = {"std": 3 * value}.get(name, 3 * value - 1000)
        want = value if name in ("skewness", "kurtosis", "entropy") else unit
        assert scaled[name] == pytest.approx(want, rel=1e-6)


@quick
@given(regions())
def test_gradient_is_the_specification(region: tuple[Array, Array | None]) -> None:
    _, *want = _reference.gradient(*region)
    np.testing.assert_allclose(list(kernels.gradient(*region).values()), want, rtol=1e-9, atol=1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
def test_gradient_is_that_of_scipy_and_scikit_image(dtype: type) -> None:
    frame = picture((50, 63), dtype=dtype, top=250)
    mask = disc(frame.shape, (20, 60), 18)  # over the edge
    values = frame.astype(np.float64)
    slopes = [ndimage.sobel(values, axis, mode="nearest") / 8 for axis in (0, 1)]
    for steep in (np.hypot(*slopes), filters.sobel(values) / math.sqrt(2)):
        inside = steep[mask > 0]
        want = {"mean": inside.mean(), "std": inside.std(), "max": inside.max()}
        assert kernels.gradient(frame, mask) == pytest.approx(want, rel=1e-6)


def test_a_ramp_rises_by_its_slope() -> None:
    ramp = np.tile(np.arange(20) * 5, (9, 1))
    got = kernels.gradient(ramp, np.pad(np.ones((7, 18), bool), 1))
    assert got == pytest.approx({"mean": 5, "std": 0, "max": 5})


@quick
@given(regions(), st.integers(2, 256), st.sampled_from([(1,), (1, 3), (7,), (25,)]))
def test_glcm_counts_are_the_specification(
    region: tuple[Array, Array | None], levels: int, distances: tuple[int, ...]
) -> None:
    got, inside = kernels._numba.glcm(*region, levels, distances)
    want, wanted = _reference.glcm(*region, levels, distances)
    assert inside == wanted
    np.testing.assert_array_equal(got, want)
    found = kernels.glcm(*region, levels=levels, distances=distances)
    assert all(map(math.isfinite, found.values()))
    assert found["entropy"] >= 0


@pytest.mark.parametrize("levels", [8, 32, 256])
@pytest.mark.parametrize("masked", [False, True])
def test_glcm_is_that_of_scikit_image(levels: int, masked: bool) -> None:
    frame = picture((60, 71), dtype=np.int16) - 1000
    mask = disc(frame.shape, (28, 33), 20) if masked else np.ones(frame.shape, np.uint8)
    low, high = frame[mask > 0].min(), frame[mask > 0].max()
    level = np.minimum((frame - float(low)) / (high - low) * levels, levels - 1).astype(np.int64)
    # level 0 is what lies outside: its row and column are left out again
    level = np.where(mask > 0, level + 1, 0).astype(np.uint16)
    angles = np.arange(4) * math.pi / 4
    counts = feature.graycomatrix(level, [1], angles, levels=levels + 1, symmetric=True)
    merged = counts[1:, 1:].sum(axis=3, keepdims=True)
    got = kernels.glcm(frame, mask if masked else None, levels=levels)
    for name, value in got.items():
        nats = math.log(2) if name == "entropy" else 1
        assert value * nats == pytest.approx(feature.graycoprops(merged, name)[0, 0]), name


@quick
@given(frames([np.uint8], most=1))
def test_shape_sums_are_the_specification(mask: Array) -> None:
    np.testing.assert_array_equal(kernels._numba.shape(mask), _reference.shape(mask))


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.7, 0.7), (1.4, 0.8)])
@pytest.mark.parametrize(
    "mask",
    [
        disc((70, 80), (30, 41), 22),
        disc((70, 80), (0, 41), 22),  # over the edge
        *map(ellipse, (0, 0.3, math.pi / 4, 1.2, math.pi / 2, -0.7)),
        (np.random.default_rng(0).random((30, 40)) < 0.5).astype(np.uint8),
        np.eye(12, dtype=np.uint8),
        np.ones((1, 9), np.uint8),
        np.ones((9, 1), np.uint8),
    ],
)
def test_shape_is_that_of_scikit_image(mask: Array, spacing: tuple[float, float]) -> None:
    region = measure.regionprops(mask, spacing=spacing)[0]
    got = kernels.shape(mask, spacing=spacing)
    assert got["area"] == pytest.approx(region.area)
    if spacing[0] == spacing[1]:
        around = measure.perimeter(mask, neighborhood=4) * spacing[0]
        assert got["perimeter"] == pytest.approx(around)
        assert got["perimeter"] == pytest.approx(region.perimeter)
        assert got["circularity"] == pytest.approx(4 * math.pi * region.area / around**2)
    assert got["major_axis"] == pytest.approx(region.axis_major_length, abs=1e-6)
    assert got["minor_axis"] == pytest.approx(region.axis_minor_length, abs=1e-6)
    assert got["eccentricity"] == pytest.approx(region.eccentricity, abs=1e-6)
    if got["eccentricity"] > 0.1:
        # a line's direction is the same the other way round
        turned = got["orientation"] - region.orientation
        assert math.sin(turned) == pytest.approx(0, abs=1e-6)


def test_shape_does_not_depend_on_the_place() -> None:
    small = ellipse(0.3)
    large = np.zeros((700, 900), np.uint8)
    large[500:590, 700:800] = small
    assert kernels.shape(large) == pytest.approx(kernels.shape(small))


def test_a_disc_is_round() -> None:
    got = kernels.shape(disc((200, 200), (100, 100), 80))
    assert got["area"] == pytest.approx(math.pi * 80**2, rel=0.01)
    assert got["circularity"] == pytest.approx(1, abs=0.1)
    assert got["eccentricity"] < 0.01
    assert got["major_axis"] == pytest.approx(160, rel=0.01)


@quick
@given(frames())
def test_quality_is_the_specification(frame: Array) -> None:
    scale = float(np.abs(frame.astype(float)).max()) + 1
    for name, unit in (("sharpness", scale**2), ("noise", scale)):
        want = float(getattr(_reference, name)(frame))
        assert getattr(kernels, name)(frame) == pytest.approx(want, rel=1e-9, abs=1e-9 * unit)


@pytest.mark.parametrize("dtype", DTYPES)
def test_sharpness_is_the_variance_of_the_laplacian_of_opencv(dtype: type) -> None:
    frame = picture((50, 61), dtype=dtype, top=255)
    want = cv2.Laplacian(frame.astype(np.float64), cv2.CV_64F).var()
    assert kernels.sharpness(frame) == pytest.approx(want)


def test_blur_makes_less_sharp_and_noise_is_measured() -> None:
    frame = picture((128, 128), dtype=np.float32)
    assert kernels.sharpness(ndimage.gaussian_filter(frame, 1)) < kernels.sharpness(frame) / 2
    flat = np.zeros((256, 256))
    flat[:, 128:] = 500  # an edge is not noise
    for sigma in (5.0, 20.0):
        noisy = flat + np.random.default_rng(1).normal(0, sigma, flat.shape)
        assert kernels.noise(noisy) == pytest.approx(sigma, rel=0.05)
    y, x = np.indices((30, 40))
    assert kernels.noise(3.0 * y - 2 * x) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("where", [(0, 0), (3, 4), (7, 8)])
def test_one_pixel_has_defined_features(where: tuple[int, int]) -> None:
    frame = picture((8, 9))
    mask = np.zeros(frame.shape, np.uint8)
    mask[where] = 3
    value = float(frame[where])
    statistics = kernels.first_order(frame, mask)
    for name in ("mean", "min", "max", "p10", "p25", "median", "p75", "p90"):
        assert statistics[name] == value
    for name in ("std", "skewness", "kurtosis", "entropy"):
        assert statistics[name] == 0
    assert kernels.glcm(frame, mask) == {
        "contrast": 0,
        "homogeneity": 1,
        "energy": 1,
        "correlation": 1,
        "entropy": 0,
    }
    steep = kernels.gradient(frame, mask)
    assert steep == {"mean": steep["max"], "std": 0, "max": steep["max"]}
    assert kernels.shape(mask) == {
        "area": 1,
        "perimeter": 0,
        "circularity": 0,
        "major_axis": 0,
        "minor_axis": 0,
        "eccentricity": 0,
        "orientation": 0,
    }


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (2, 2), (5, 1)])
def test_the_smallest_frames_have_defined_features(shape: tuple[int, int]) -> None:
    with warnings.catch_warnings(action="error"):
        found = [kernels.sharpness(np.full(shape, 5)), kernels.noise(np.full(shape, 5))]
        found += [value for of in REGIONAL for value in of(np.full(shape, 5)).values()]
    assert all(map(math.isfinite, found))
