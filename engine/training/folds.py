"""Five folds over the 25 subjects of training, by subject; the held-out five are in none.

Fixed by hand: five subjects each, of every diagnosis that the name tells (heart failure with and
without infarction, hypertrophy, none) as evenly as 3, 8, 8 and 6 subjects go into five.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from engine.errors import ConfigError
from engine.training.data import VALIDATION

# The first fold is the validation set of the runs that choose the plan.
FOLDS: tuple[tuple[str, ...], ...] = (
    VALIDATION,
    ("SC-HF-I-07", "SC-HF-NI-03", "SC-HYP-01", "SC-HYP-37", "SC-N-02"),
    ("SC-HF-I-08", "SC-HF-NI-11", "SC-HYP-03", "SC-HYP-38", "SC-N-06"),
    ("SC-HF-NI-04", "SC-HF-NI-33", "SC-HYP-07", "SC-HYP-40", "SC-N-03"),
    ("SC-HF-NI-31", "SC-HF-NI-36", "SC-HYP-08", "SC-N-07", "SC-N-40"),
)
DIAGNOSES = {
    "HF-I": "heart failure, infarction",
    "HF-NI": "heart failure, no infarction",
    "HYP": "hypertrophy",
    "N": "none",
}
# Its contours lie across the septum, 12 columns beside the cavity and on other rows in every slice:
# as if drawn on another series. Never trained on; it stays in its fold's table.
MISLABELLED = ("SC-N-06",)
WEIGHTS = "model.onnx"


def fold(number: int) -> tuple[str, ...]:
    """Return the subjects of one fold, counted from 1. Raises `ConfigError` where it is none."""
    if not 1 <= number <= len(FOLDS):
        raise ConfigError(f"there is no fold {number}: folds are 1 to {len(FOLDS)}")
    return FOLDS[number - 1]


def fold_folder(folder: Path, number: int) -> Path:
    """Return where `train --fold` leaves a fold's run below its `--out`."""
    return folder / f"fold-{number}"


def weights_of(folder: Path) -> dict[int, Path]:
    """Return each fold's exported model; raise `ConfigError` naming the first that is missing."""
    found = {number: fold_folder(folder, number) / WEIGHTS for number in range(1, len(FOLDS) + 1)}
    for number, path in found.items():
        if not path.is_file():
            raise ConfigError(f"{path} is missing: `scanstream model train --fold {number}` first")
    return found


def diagnosis_of(subject: str) -> str:
    """Return the part of a subject's name that tells its diagnosis: HF-I, HF-NI, HYP, N.

    The name without its number where it tells none.
    """
    group = subject.removeprefix("SC-").rpartition("-")[0]
    return group or subject


def by_diagnosis(subjects: Iterable[str]) -> dict[str, list[str]]:
    """Return the subjects of each diagnosis, both in order."""
    found: dict[str, list[str]] = {}
    for subject in sorted(subjects, key=lambda name: (diagnosis_of(name), name)):
        found.setdefault(diagnosis_of(subject), []).append(subject)
    return found
