"""Ejection fractions: a perfect model measures the truth, a bad one does not; files that lack."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.errors import ConfigError
from engine.phantom import Phantom, dicom_objects
from engine.training import ejection
from engine.training.data import Slice

SEED = 3
SLICES, PHASES = 4, 5
Bytes = NDArray[np.uint8]
Answer = tuple[Bytes, NDArray[np.float32]]


def answering(masks: Iterator[Bytes]) -> Callable[[Bytes], Answer]:
    """Return a predictor that gives these masks in turn, whatever it is shown."""

    def predict(images: Bytes) -> Answer:
        assert images.dtype == np.uint8
        assert images.shape[1:] == (1, 256, 256)
        found = np.stack([next(masks) for _ in images])
        return found, np.ones((len(images), 1), np.float32)

    return predict


def grown(mask: Bytes) -> Bytes:
    """Return the mask and the pixels beside it."""
    wider = np.pad(mask, 1)
    for axis in (0, 1):
        wider = wider | np.roll(wider, 1, axis) | np.roll(wider, -1, axis)
    return wider[1:-1, 1:-1]


def frames_of(phantom: Phantom) -> list[Bytes]:
    return list(phantom.masks.reshape(-1, 256, 256))


@pytest.fixture(scope="module")
def heart() -> Phantom:
    return Phantom(ejection_fraction=60.0, seed=SEED, slices=SLICES, phases=PHASES)


def measured(heart: Phantom, masks: list[Bytes]) -> ejection.Ejection:
    predict = answering(iter(masks))
    return ejection.of_phantom(60.0, SEED, predict, slices=SLICES, phases=PHASES)


def test_a_perfect_model_measures_the_phantoms_truth(heart: Phantom) -> None:
    found = measured(heart, frames_of(heart))
    assert found.true == pytest.approx(60, abs=1)
    assert found.error == pytest.approx(0, abs=0.01)
    assert found.slices == SLICES
    assert found.as_json()["within"] is True


def test_cavities_drawn_too_large_lower_the_fraction(heart: Phantom) -> None:
    edges = [grown(grown(grown(mask))) if mask.any() else mask for mask in frames_of(heart)]
    found = measured(heart, edges)
    assert found.error < -ejection.LIMIT_POINTS
    assert found.as_json()["within"] is False


def test_a_model_that_finds_nothing_ejects_nothing(heart: Phantom) -> None:
    assert measured(heart, [np.zeros((256, 256), np.uint8)] * SLICES * PHASES).found == 0.0


Study = tuple[Path, list[Slice]]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory, heart: Phantom) -> Study:
    """A subject's DICOM files, with labels at both ends of the beat but for one slice."""
    folder = tmp_path_factory.mktemp("study")
    (folder / "link.csv").write_text("patient_id,original_id\nSCD1,SC-N-5\n")
    own = folder / "dicoms" / "SCD1"
    own.mkdir(parents=True)
    labels = []
    for number, found in enumerate(dicom_objects(heart), start=1):
        index, phase = divmod(number - 1, PHASES)
        if index in (0, 3) or phase not in (0, 2) or (index, phase) == (2, 2):
            continue
        found.save_as(own / f"{number}.dcm", enforce_file_format=True)
        labels.append(
            Slice(
                name=f"SC-N-05-IM-0001-{number:04d}.dcm.png",
                subject="SC-N-05",
                pixels=np.zeros((256, 256), np.uint8),
                mask=heart.mask(index, phase),
            )
        )
    return folder, labels


def test_only_slices_with_both_ends_are_compared(heart: Phantom, study: Study) -> None:
    folder, labels = study
    pairs = ejection.labelled_frames(folder, labels)["SC-N-05"]
    assert len(pairs) == 3
    large, small = heart.mask(1, 0), heart.mask(1, 2)
    found = ejection.of_subject("SC-N-05", pairs, answering(iter([large, small])))
    assert found.slices == 1
    expected = 100 * (1 - int(small.sum()) / int(large.sum()))
    assert found.true == pytest.approx(expected)
    assert found.error == pytest.approx(0)
    worse = ejection.of_subject("SC-N-05", pairs, answering(iter([large, grown(small)])))
    assert worse.error < 0


def test_what_a_study_lacks_is_named(study: Study, tmp_path: Path) -> None:
    folder, labels = study
    with pytest.raises(ConfigError, match=r"no link\.csv"):
        ejection.labelled_frames(tmp_path, labels)
    pairs = ejection.labelled_frames(folder, labels)["SC-N-05"]
    with pytest.raises(ConfigError, match="both ends"):
        ejection.of_subject("SC-N-05", pairs[:1], answering(iter([])))
    (tmp_path / "link.csv").write_text("patient_id,original_id\nSCD1,SC-N-5\n")
    with pytest.raises(ConfigError, match="has no DICOM file"):
        ejection.labelled_frames(tmp_path, labels)
    (tmp_path / "link.csv").write_text("patient_id,original_id\nSCD1,SC-N-6\n")
    with pytest.raises(ConfigError, match="none of the subjects"):
        ejection.labelled_frames(tmp_path, labels)
