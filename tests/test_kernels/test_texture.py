"""Distances of the co-occurrence matrix that no frame has."""

from __future__ import annotations

import pytest

import kernels
from kernels import _reference
from tests.test_kernels.frames import picture


@pytest.mark.parametrize("distance", [20, 2**31, 2**62, 2**63 - 1, 2**64])
def test_a_distance_beyond_the_frame_has_no_pairs(distance: int) -> None:
    """An index of such a size overflows, and would be read from anywhere in memory."""
    frame = picture((13, 20))
    assert not _reference.glcm(frame, None, 32, (distance,))[0].any()
    found = kernels.glcm(frame, distances=(distance,))
    assert found == kernels.glcm(frame[:1, :1])
    assert kernels.glcm(frame, distances=(1, distance)) == kernels.glcm(frame)
