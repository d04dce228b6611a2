"""CLAHE against the specification and against OpenCV."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import kernels
from kernels import KernelInputError, _reference
from tests.test_kernels.frames import Array, frames, picture, quick


def opencv(frame: Array, clip_limit: float, tiles: tuple[int, int]) -> Array:
    result: Array = cv2.createCLAHE(clip_limit, tiles[::-1]).apply(frame)
    return result


@pytest.mark.parametrize("shape", [(64, 64), (61, 64), (64, 75), (47, 93), (130, 127)])
@pytest.mark.parametrize("clip_limit", [0.0, 0.5, 2.0, 40.0, 3000.0])
@pytest.mark.parametrize("tiles", [(8, 8), (4, 6)])
def test_values_are_those_of_opencv(
    shape: tuple[int, int], clip_limit: float, tiles: tuple[int, int]
) -> None:
    frame = picture(shape, top=65535)
    got = kernels.clahe(frame, clip_limit=clip_limit, tiles=tiles, bins=65536)
    np.testing.assert_array_equal(got, opencv(frame, clip_limit, tiles))


@pytest.mark.parametrize("clip_limit", [0.0, 1.0, 4.0])
def test_values_of_8_bits_are_those_of_opencv(clip_limit: float) -> None:
    frame = picture((96, 80), dtype=np.uint8, top=255)
    got = kernels.clahe(frame, clip_limit=clip_limit, bins=256)
    # OpenCV's 8-bit path rounds some halves the other way
    assert abs(got.astype(int) - opencv(frame, clip_limit, (8, 8))).max() <= 1


@quick
@given(
    frames([np.uint8, np.uint16, np.int16, np.int32], least=0, most=99),
    st.sampled_from([0, 0.1, 1, 2.5, 100]),
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.sampled_from([100, 256, 4096]),
)
def test_clahe_is_the_specification(
    frame: Array, clip_limit: float, tiles: tuple[int, int], bins: int
) -> None:
    got = kernels.clahe(frame, clip_limit=clip_limit, tiles=tiles, bins=bins)
    assert got.dtype == np.uint16
    assert got.max() < bins
    want = _reference.clahe(frame.astype(np.uint16), clip_limit, tiles, bins)
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("clip_limit", [1e25, 1e300])
def test_a_limit_beyond_all_counts_cuts_nothing(clip_limit: float) -> None:
    frame = picture((40, 50))
    got = kernels.clahe(frame, clip_limit=clip_limit)
    np.testing.assert_array_equal(got, kernels.clahe(frame, clip_limit=0))


@pytest.mark.parametrize("clip_limit", [0.5, 2.0, 20.0])
@pytest.mark.parametrize("size", [256, 300])
def test_a_12_bit_frame_is_the_specification(clip_limit: float, size: int) -> None:
    frame = picture((size, size))
    got = kernels.clahe(frame, clip_limit=clip_limit)
    np.testing.assert_array_equal(got, _reference.clahe(frame, clip_limit, (8, 8), 4096))


@pytest.mark.parametrize(
    ("frame", "parameters", "text"),
    [
        (np.full((8, 8), 4096, np.uint16), {"clip_limit": 2}, r"\[0, 4095\]"),
        (np.full((8, 8), -1, np.int16), {"clip_limit": 2}, r"\[0, 4095\]"),
        (np.ones((8, 8), np.float32), {"clip_limit": 2}, "integers"),
        (np.ones((8, 0), np.uint8), {"clip_limit": 2}, "not empty"),
        (np.ones((8, 8), np.uint16), {"clip_limit": -1}, "clip_limit"),
        (np.ones((8, 8), np.uint16), {"clip_limit": float("nan")}, "clip_limit"),
        (np.ones((8, 8), np.uint16), {"clip_limit": 2, "tiles": (0, 8)}, "tiles"),
        (np.ones((8, 8), np.uint16), {"clip_limit": 2, "bins": 70000}, "bins"),
    ],
)
def test_what_clahe_refuses(frame: Array, parameters: dict[str, object], text: str) -> None:
    with pytest.raises(KernelInputError, match=text):
        kernels.clahe(frame, **parameters)  # type: ignore[arg-type]
