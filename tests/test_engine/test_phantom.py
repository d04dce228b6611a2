"""The phantom: volumes that are known, motion that is right, objects that are DICOM."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.uid import UID, MRImageStorage

from engine.enhance import enhance_array
from engine.phantom import Phantom, dicom_objects, truth, write_dicom


@pytest.mark.parametrize("wanted", [25.0, 45.0, 65.0])
def test_the_true_ejection_fraction_is_what_was_asked_for(wanted: float) -> None:
    assert Phantom(ejection_fraction=wanted, seed=3).true_ejection_fraction == pytest.approx(
        wanted, abs=0.5
    )


@settings(deadline=None, max_examples=15)
@given(ejection_fraction=st.floats(5, 80), seed=st.integers(0, 10_000))
def test_volumes_follow_the_contraction(ejection_fraction: float, seed: int) -> None:
    phantom = Phantom(ejection_fraction=ejection_fraction, seed=seed, slices=12, phases=5)
    largest = phantom.volumes_ml[0]
    assert 60 < largest < 320
    for phase, volume in enumerate(phantom.volumes_ml):
        expected = largest * (1 - ejection_fraction / 100 * phantom.contraction(phase))
        assert volume == pytest.approx(expected, abs=0.01 * largest)


def test_a_volume_is_the_area_of_the_masks_times_the_distance() -> None:
    phantom = Phantom(slices=6, phases=3, seed=8)
    area_mm2 = phantom.masks.sum(axis=(2, 3)) * phantom.spacing_mm**2
    expected = area_mm2.sum(axis=0) * phantom.slice_distance_mm / 1000
    np.testing.assert_allclose(phantom.volumes_ml, expected)


def test_slices_above_the_base_and_below_the_apex_are_empty() -> None:
    masks = Phantom(seed=1, phases=2).masks
    assert not masks[0].any()
    assert not masks[-1].any()
    assert masks[2].any(axis=(1, 2)).all()


def test_frames_are_what_a_scanner_stores() -> None:
    phantom = Phantom(seed=4, slices=5, phases=2)
    assert phantom.images.shape == (5, 2, 256, 256)
    assert phantom.images.dtype == np.int16
    assert phantom.images.min() >= 0
    assert 500 < phantom.images.max() <= 1500


def test_the_cavity_is_brighter_than_its_wall() -> None:
    phantom = Phantom(seed=5, papillary=False)
    image, inside = phantom.image(4, 0).astype(float), phantom.mask(4, 0) > 0
    grown = inside.copy()
    for axis in (0, 1):
        for step in (-5, 5):
            grown |= np.roll(inside, step, axis)
    assert image[inside].mean() > 2 * np.median(image[grown & ~inside])


def test_a_seed_repeats_and_another_differs() -> None:
    first, again, other = (Phantom(seed=seed).image(3, 1) for seed in (6, 6, 7))
    np.testing.assert_array_equal(first, again)
    assert (first != other).mean() > 0.5


def test_the_serving_chain_takes_a_frame() -> None:
    picture = enhance_array(Phantom(seed=2).image(4, 0), "cine")
    assert picture.shape == (256, 256)
    assert picture.dtype == np.uint8


@pytest.mark.parametrize(
    "wrong",
    [{"ejection_fraction": 90.0}, {"slices": 2}, {"phases": 1}, {"size": 64}, {"noise": -1.0}],
)
def test_what_cannot_be_drawn_is_refused_by_name(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"`{next(iter(wrong))}`"):
        Phantom(**wrong)  # type: ignore[arg-type]


def test_written_objects_are_read_back(tmp_path: Path) -> None:
    phantom = Phantom(slices=3, phases=2, seed=9)
    paths = write_dicom(phantom, tmp_path)
    assert [path.name for path in paths] == [f"{number:04d}.dcm" for number in range(1, 7)]
    found = [pydicom.dcmread(path) for path in paths]
    np.testing.assert_array_equal(found[3].pixel_array, phantom.image(1, 1))
    assert found[0].SOPClassUID == MRImageStorage
    assert found[0].CardiacNumberOfImages == 2
    assert [float(each.TriggerTime) for each in found[:3]] == [0.0, 450.0, 0.0]
    assert float(found[2].ImagePositionPatient[2]) == pytest.approx(phantom.slice_distance_mm)
    assert json.loads((tmp_path / "truth.json").read_text()) == truth(phantom)


def test_identifiers_are_deterministic_valid_and_apart() -> None:
    uids = [each.SOPInstanceUID for each in dicom_objects(Phantom(slices=3, phases=2, seed=1))]
    again = [each.SOPInstanceUID for each in dicom_objects(Phantom(slices=3, phases=2, seed=1))]
    other = [each.SOPInstanceUID for each in dicom_objects(Phantom(slices=3, phases=2, seed=2))]
    assert uids == again
    assert len({*uids, *other}) == 12
    assert all(UID(uid).is_valid and uid.startswith("2.25.") for uid in uids)


def test_no_object_names_a_patient() -> None:
    found = next(dicom_objects(Phantom(slices=3, phases=2)))
    for keyword in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex"):
        assert not found[keyword].value
    assert found.PatientIdentityRemoved == "YES"
