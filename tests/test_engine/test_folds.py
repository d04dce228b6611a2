"""The folds: by subject, balanced, never the held-out; one table over their models."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.errors import ConfigError
from engine.training.data import HELD_OUT, VALIDATION
from engine.training.folds import (
    DIAGNOSES,
    FOLDS,
    by_diagnosis,
    diagnosis_of,
    fold,
    fold_folder,
    weights_of,
)

EVERYONE = [name for some in FOLDS for name in some]


def test_every_subject_is_in_one_fold_and_the_held_out_in_none() -> None:
    assert len(EVERYONE) == len(set(EVERYONE)) == 25
    assert not set(EVERYONE) & set(HELD_OUT)


def test_the_first_fold_is_the_validation_set() -> None:
    assert fold(1) == VALIDATION


@pytest.mark.parametrize("number", [0, 6, -1])
def test_a_fold_that_is_none_is_refused(number: int) -> None:
    with pytest.raises(ConfigError, match="folds are 1 to 5"):
        fold(number)


def test_diagnoses_are_spread_as_evenly_as_they_go() -> None:
    totals = {kind: len(names) for kind, names in by_diagnosis(EVERYONE).items()}
    assert totals == {"HF-I": 3, "HF-NI": 8, "HYP": 8, "N": 6}
    for some in FOLDS:
        assert len(some) == 5
        there = {kind: len(names) for kind, names in by_diagnosis(some).items()}
        for kind, total in totals.items():
            assert total // 5 <= there.get(kind, 0) <= -(-total // 5)


def test_a_name_tells_its_diagnosis() -> None:
    assert diagnosis_of("SC-HF-NI-07") == "HF-NI"
    assert diagnosis_of("SC-N-05") == "N"
    assert diagnosis_of("somebody") == "somebody"
    assert {diagnosis_of(name) for name in EVERYONE} == set(DIAGNOSES)


def test_a_fold_without_a_model_is_named(tmp_path: Path) -> None:
    for number in (1, 2, 4, 5):
        fold_folder(tmp_path, number).mkdir()
        (fold_folder(tmp_path, number) / "model.onnx").write_bytes(b"")
    with pytest.raises(ConfigError, match="train --fold 3"):
        weights_of(tmp_path)


@pytest.mark.data
def test_the_folds_are_the_subjects_of_the_data() -> None:
    from engine.training.data import subjects_in

    folder = Path(__file__).resolve().parents[3] / "shared" / "data" / "sunnybrook"
    if not folder.is_dir():
        pytest.skip("the real cine-MR data do not lie beside the checkout")
    assert sorted([*EVERYONE, *HELD_OUT]) == subjects_in(folder)
