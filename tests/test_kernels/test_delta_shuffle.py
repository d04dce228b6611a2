"""The wire codec's filter: both bodies agree, and nothing is lost."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import kernels
from kernels import KernelInputError, _reference
from tests.test_kernels.frames import LAYOUTS, quick, with_layout

FRAMES = st.sampled_from([65535, 900, 60, 3]).flatmap(
    lambda most: arrays(
        np.uint16,
        st.tuples(st.integers(1, 9), st.integers(1, 37)),
        elements=st.integers(0, most),
    )
)


@quick
@given(FRAMES)
def test_the_frame_comes_back_and_the_planes_are_the_specifications(frame: np.ndarray) -> None:
    planes = kernels.delta_shuffle(frame)
    np.testing.assert_array_equal(planes, _reference.delta_shuffle(frame))
    columns = frame.shape[1]
    for body in (kernels.undelta_shuffle, _reference_inverse):
        np.testing.assert_array_equal(body(planes[0], planes[1:], columns=columns), frame)
    used = 1 + np.flatnonzero(planes.any(axis=(1, 2))).max(initial=1)
    for body in (kernels.undelta_shuffle, _reference_inverse):
        np.testing.assert_array_equal(body(planes[0], planes[1:used], columns=columns), frame)


def _reference_inverse(low: np.ndarray, high: np.ndarray, *, columns: int) -> np.ndarray:
    return _reference.undelta_shuffle(low, high, columns)


def test_planes_by_hand() -> None:
    frame = np.array([[0x10, 0x0F, 0x0F], [0x10, 0x0F, 0x80F]], np.uint16)
    # differences 16, -1, 0 / 0, 0, 2048; zigzag 32, 1, 0 / 0, 0, 4096
    wanted = [[[0x10, 0], [0, 0]], [[0x02, 0], [0, 0]], [[0, 0], [0, 0]], [[0, 0], [0, 1]]]
    np.testing.assert_array_equal(kernels.delta_shuffle(frame), wanted)


@pytest.mark.parametrize("layout", [one for one in LAYOUTS if one != "big-endian"])
def test_any_layout(layout: str) -> None:
    frame = np.random.default_rng(1).integers(0, 65536, (6, 7)).astype(np.uint16)
    got = kernels.delta_shuffle(with_layout(frame, layout))
    np.testing.assert_array_equal(got, kernels.delta_shuffle(frame))


def test_other_arrays_are_refused() -> None:
    for frame in (np.zeros((2, 2), np.int16), np.zeros(4, np.uint16), np.zeros((0, 2), np.uint16)):
        with pytest.raises(KernelInputError, match="`frame` must be"):
            kernels.delta_shuffle(frame)
    with pytest.raises(KernelInputError, match="byte order"):
        kernels.delta_shuffle(np.zeros((2, 2), ">u2"))
    low, high = np.zeros((2, 2), np.uint8), np.zeros((3, 2, 2), np.uint8)
    with pytest.raises(KernelInputError, match="`low` must be"):
        kernels.undelta_shuffle(low, high, columns=5)
    with pytest.raises(KernelInputError, match="`high` must be"):
        kernels.undelta_shuffle(low, high[:0], columns=4)
    with pytest.raises(KernelInputError, match="must be uint8"):
        kernels.undelta_shuffle(low.astype(np.int8), high, columns=4)
