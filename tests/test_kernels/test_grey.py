"""Value mappings: modality, lut, window, percentile_window, normalise, and the fused one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pydicom import Dataset
from pydicom.pixels import apply_modality_lut, apply_voi, apply_windowing

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


FUNCTIONS = st.sampled_from(["LINEAR", "LINEAR_EXACT", "SIGMOID"])


@quick
@given(frames(), st.floats(-1e4, 1e4), st.floats(1, 1e5) | st.just(1.0), FUNCTIONS)
def test_window_is_the_specification(
    frame: Array, center: float, width: float, function: str
) -> None:
    got = kernels.window(frame, center=center, width=width, function=function)
    assert got.dtype == np.float32
    assert got.min() >= 0
    assert got.max() <= 1
    want = _reference.window(frame, center, width, function, 0)
    np.testing.assert_allclose(got, want, atol=1e-6)
    levels = kernels.window(frame, center=center, width=width, function=function, bins=4096)
    assert levels.dtype == np.uint16
    want = _reference.window(frame, center, width, function, 4096)
    assert abs(levels.astype(int) - want).max() <= 1  # a half may fall to either side


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize(("center", "width"), [(40.0, 400.0), (2048.0, 4096.0), (-600.5, 30.5)])
def test_window_is_that_of_pydicom(function: str, center: float, width: float) -> None:
    frame = np.linspace(-1024, 3071, 4096).astype(np.int16).reshape(64, 64)
    tags = Dataset()
    tags.WindowCenter, tags.WindowWidth, tags.VOILUTFunction = center, width, function
    tags.PhotometricInterpretation = "MONOCHROME2"
    tags.BitsStored, tags.PixelRepresentation = 16, 1
    want = (apply_windowing(frame, tags) + 32768) / 65535
    got = kernels.window(frame, center=center, width=width, function=function)
    np.testing.assert_allclose(got, want, atol=1e-6)


@pytest.mark.parametrize("function", ["LINEAR_EXACT", "SIGMOID"])
def test_a_window_may_be_as_narrow_as_a_number_can_be(function: str) -> None:
    got = kernels.window(np.array([[1, 2, 3]]), center=2, width=1e-310, function=function)
    np.testing.assert_array_equal(got, [[0, 0.5, 1]])


TABLES = hnp.arrays(
    st.sampled_from([np.uint8, np.uint16, np.int16, np.float32]),
    st.integers(1, 300),
    elements=st.integers(0, 100),
)


@quick
@given(frames([np.uint8, np.int16, np.float32]), TABLES, st.integers(-70000, 70000))
def test_lut_is_the_specification(frame: Array, table: Array, first: int) -> None:
    got = kernels.lut(frame, table=table, first=first)
    assert got.dtype == table.dtype
    np.testing.assert_array_equal(got, _reference.lut(frame, table, first))


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_lut_rounds_before_the_dtype_does(dtype: type) -> None:
    """1025.5 is no float16, and 0.99999997 no float32."""
    frame = np.array([[1025, np.nextafter(dtype(0.5), dtype(0))]], dtype)
    table = np.arange(2000, dtype=np.uint16)
    np.testing.assert_array_equal(kernels.lut(frame, table=table, first=0), [[1025, 0]])
    np.testing.assert_array_equal(_reference.lut(frame, table, 0), [[1025, 0]])


def test_lut_is_that_of_pydicom_for_modality_and_voi() -> None:
    frame = np.arange(-40, 60, dtype=np.int16).reshape(10, 10)
    table = np.random.default_rng(1).integers(0, 4096, 50).astype(np.uint16)
    item = Dataset()
    item.add_new("LUTDescriptor", "SS", [50, -10, 16])
    item.add_new("LUTData", "US", table.tolist())
    tags = Dataset()
    tags.PixelRepresentation = 1
    tags.ModalityLUTSequence = tags.VOILUTSequence = [item]
    got = kernels.lut(frame, table=table, first=-10)
    np.testing.assert_array_equal(got, apply_modality_lut(frame, tags))
    np.testing.assert_array_equal(got, apply_voi(frame, tags))


@quick
@given(
    frames([np.uint8, np.int16, np.float32]),
    st.floats(-1e3, 1e3),
    st.floats(1, 1e4),
    FUNCTIONS,
    st.tuples(st.integers(1, 30), st.integers(1, 30)),
    st.sampled_from(["auto", "area", "linear", "cubic"]),
)
def test_the_fused_pass_is_its_operations(
    frame: Array, center: float, width: float, function: str, shape: tuple[int, int], method: str
) -> None:
    got = kernels.window_resample_normalise(
        frame, center=center, width=width, function=function, shape=shape, method=method
    )
    want = kernels.window(frame, center=center, width=width, function=function)
    want = kernels.normalise(kernels.resample(want, shape=shape, method=method))
    assert got.dtype == np.uint8
    assert abs(got.astype(int) - want).max() <= 1
    specified = _reference.window_resample_normalise(
        frame, center, width, function, shape, method, 3.0
    )
    # a deviation that is rounding and nothing else has no meaning to agree on
    grey = _reference.resample(_reference.window(frame, center, width, function, 0), shape, method)
    if grey.std() > 1e-4:
        assert abs(got.astype(int) - specified).max() <= 1


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


@pytest.mark.parametrize("value", [1, 77, 199])
@pytest.mark.parametrize("shape", [(5, 3), (30, 41), (19, 23)])
@pytest.mark.parametrize("method", ["auto", "area", "cubic"])
def test_the_fused_pass_of_a_constant_is_the_middle(
    value: int, shape: tuple[int, int], method: str
) -> None:
    """A sum that is off by rounding would be a deviation, and be stretched over all levels."""
    frame = np.full((17, 23), value, np.int16)
    got = kernels.window_resample_normalise(
        frame, center=100, width=300, shape=shape, method=method
    )
    assert (got == 128).all()


BAD_FRAMES = [
    (np.zeros((2, 2, 2)), "rows, columns"),
    (np.zeros((0, 4)), "not empty"),
    (np.zeros((2, 2), complex), "integers or floats"),
    (np.zeros((2, 2), bool), "integers or floats"),
    (np.array([[1.0, np.nan]]), "NaN"),
    (np.array([[1.0, np.inf]]), "NaN or infinity"),
    (np.array([[-np.inf, np.inf]], np.float32), "NaN or infinity"),
    (np.array([[2**53 + 1]]), r"2\*\*53"),
    (np.array([[-(2**63)]]), r"2\*\*53"),
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
        ("lut", {"table": np.arange(3), "first": 0}),
        ("bilateral", {"sigma_space": 1, "sigma_value": 1}),
        ("nlm", {"strength": 1}),
        ("flatten_bias", {"radius": 1}),
        ("window_resample_normalise", {"center": 1, "width": 2, "shape": (3, 3)}),
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
        ("window", {"center": 40, "width": 0, "function": "SIGMOID"}),
        ("window", {"center": 40, "width": 4, "function": "linear"}),
        ("window", {"center": 40, "width": 4, "bins": 1}),
        ("lut", {"table": np.zeros(0, np.uint8), "first": 0}),
        ("lut", {"table": np.zeros((2, 2), np.uint8), "first": 0}),
        ("lut", {"table": np.zeros(4), "first": 0}),
        ("lut", {"table": np.zeros(4, np.uint8), "first": 2**60}),
        ("bilateral", {"sigma_space": 0, "sigma_value": 1}),
        ("bilateral", {"sigma_space": 21, "sigma_value": 1}),
        ("bilateral", {"sigma_space": 1, "sigma_value": 0}),
        ("nlm", {"strength": 0}),
        ("nlm", {"strength": 1, "patch": 8}),
        ("nlm", {"strength": 1, "search": 0}),
        ("flatten_bias", {"radius": 0}),
        ("flatten_bias", {"radius": 3, "background": -1}),
        ("flatten_bias", {"radius": 3, "background": float("nan")}),
        ("window_resample_normalise", {"center": 1, "width": 0, "shape": (2, 2)}),
        ("window_resample_normalise", {"center": 1, "width": 2, "shape": (2, 2), "spread": 0}),
        ("window_resample_normalise", {"center": 1, "width": 2, "shape": (2, 0)}),
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
