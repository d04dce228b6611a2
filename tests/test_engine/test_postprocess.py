"""Masks and measurements against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from engine.errors import BadMessage, FrameError
from engine.messages import Mask
from engine.postprocess import decode_mask, encode_mask, measure, segment

MAPS = arrays.arrays(
    np.uint8, st.tuples(st.integers(1, 20), st.integers(1, 20)), elements=st.integers(0, 2)
)
LABELS = ("cavity", "myocardium")


@given(MAPS)
@settings(deadline=None)
def test_run_lengths_come_back(label_map: np.ndarray) -> None:
    mask = encode_mask(label_map, "cavity")
    np.testing.assert_array_equal(decode_mask(mask), label_map != 0)
    assert decode_mask(mask).dtype == np.uint8
    assert mask.size == label_map.shape
    assert all(count > 0 for count in mask.counts[1:])


def test_run_lengths_are_column_major_and_begin_with_zeros() -> None:
    mask = encode_mask(np.array([[0, 1], [0, 1], [1, 0]], np.uint8), "cavity")
    assert mask.counts == [2, 3, 1]
    assert encode_mask(np.ones((2, 2), np.uint8), "cavity").counts == [0, 4]
    assert encode_mask(np.zeros((2, 2), np.uint8), "cavity").counts == [4]


@pytest.mark.parametrize("counts", [[], [3], [5], [-1, 5], [2**40]])
def test_counts_that_do_not_fill_the_mask_are_refused(counts) -> None:
    with pytest.raises(BadMessage, match="add up"):
        decode_mask(Mask(label="cavity", size=(2, 2), counts=counts))


@given(MAPS, st.tuples(st.floats(0.1, 5), st.floats(0.1, 5)))
@settings(deadline=None)
def test_area_and_centroid_against_numpy(label_map, spacing) -> None:
    findings, masks = measure(label_map, LABELS, (0.5, 0.25), spacing)
    assert [one.label for one in findings] == [one.label for one in masks]
    assert {one.label for one in findings} == {LABELS[k - 1] for k in np.unique(label_map) if k}
    for finding, mask in zip(findings, masks, strict=True):
        value = LABELS.index(finding.label) + 1
        rows, columns = np.nonzero(label_map == value)
        assert finding.pixels == len(rows)
        assert finding.area_mm2 == pytest.approx(len(rows) * spacing[0] * spacing[1])
        assert finding.centroid == pytest.approx((columns.mean(), rows.mean()))
        assert finding.confidence == (0.5, 0.25)[value - 1]
        np.testing.assert_array_equal(decode_mask(mask), label_map == value)


@pytest.mark.parametrize("spacing", [None, (0.0, 1.0), (float("nan"), 1.0), (-1.0, 1.0)])
def test_no_area_without_a_usable_spacing(spacing) -> None:
    findings, _ = measure(np.ones((2, 2), np.uint8), ("cavity",), (0.5,), spacing)
    assert findings[0].area_mm2 is None
    assert findings[0].pixels == 4


def test_an_absent_label_has_no_finding() -> None:
    assert measure(np.zeros((4, 4), np.uint8), LABELS, (0.0, 0.0), (1.0, 1.0)) == ([], [])


def test_a_value_without_a_label_is_refused() -> None:
    with pytest.raises(FrameError, match="label 3"):
        measure(np.full((2, 2), 3, np.uint8), LABELS, (0.5, 0.5), None)


def test_only_the_largest_component_of_each_label_is_kept() -> None:
    mask = np.zeros((256, 256), np.uint8)
    mask[10:20, 10:20] = 1
    mask[40:42, 40:42] = 1
    mask[100:103, 100:103] = 2
    mask[150:160, 150:160] = 2
    want = mask.copy()
    want[40:42, 40:42] = want[100:103, 100:103] = 0
    np.testing.assert_array_equal(segment(mask, (256, 256)), want)


def test_the_label_map_is_on_the_frames_grid() -> None:
    mask = np.zeros((256, 256), np.uint8)
    mask[64:192, 64:192] = 1
    label_map = segment(mask, (512, 256))
    assert label_map.shape == (512, 256)
    assert label_map.dtype == np.uint8
    # 512 x 256 stands upright in the square: 128 columns in its middle, scaled by 2.
    assert np.count_nonzero(label_map) == pytest.approx(256 * 256, rel=0.02)


def test_an_empty_mask_stays_empty() -> None:
    assert not segment(np.zeros((256, 256), np.uint8), (300, 200)).any()
