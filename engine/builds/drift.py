"""Is a build the network that it was built from? Its masks against fp32's, and the labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import BuildRefused
from engine.training.data import Bytes, Slice
from engine.training.evaluate import Predict, Score, dice, evaluate

LOST = 0.002  # of the mean Dice over subjects
# Dice of the build's masks to fp32's, over all pixels. int8 as it should be keeps 0.994 and more;
# calibrated on pictures three times too dark 0.990 and less, saturated 0.969 and less
# (docs/decisions/0011-builds.md). The mean over slices would hang on those with a few pixels found.
ALIKE = 0.99
# Mean over slices by which a build is more or less sure of what it found than fp32: at most 0.002
# as it should be, 0.037 and more calibrated on pictures three times too dark.
CONFIDENCE = 0.01


@dataclass(frozen=True, kw_only=True)
class Drift:
    """Dice to the labels, mean over subjects, of both; and of the masks to each other.

    `confidence`: the mean difference over slices in which both find something.
    """

    fp32: float
    build: float
    lost: float
    most_lost: float
    alike: float
    confidence: float

    def as_json(self) -> dict[str, Any]:
        """Return the figures to five places: more are noise."""
        return {name: round(value, 5) for name, value in asdict(self).items()}


def drift(slices: Sequence[Slice], fp32: Predict, build: Predict) -> Drift:
    """Run both on every slice.

    Raises `BuildRefused` where fp32 finds nothing: then nothing would be proved.
    """
    (exact, sure), (built, as_sure) = _answers(slices, fp32), _answers(slices, build)
    if not any(one.found.any() for one in exact.slices):
        raise BuildRefused("fp32 finds nothing on the pictures to check: give others with --data")
    lost = [exact.subjects[name] - built.subjects[name] for name in exact.subjects]
    return Drift(
        fp32=exact.mean,
        build=built.mean,
        lost=exact.mean - built.mean,
        most_lost=max(lost),
        alike=_alike(exact, built),
        confidence=_apart(sure, as_sure),
    )


def refuse_drift(found: Drift, name: str) -> None:
    """Raise `BuildRefused` for a build that is not its source any more, better or worse."""
    if found.lost > LOST:
        raise BuildRefused(
            f"{name} loses {found.lost:.4f} of the Dice of fp32 ({found.fp32:.4f}), more than"
            f" {LOST}: nothing is kept; are the calibration pictures like those served?"
        )
    if found.alike < ALIKE:
        raise BuildRefused(
            f"{name} gives other masks than fp32: Dice between them {found.alike:.4f}, less than"
            f" {ALIKE}: nothing is kept; are the calibration pictures like those served?"
        )
    if not found.confidence <= CONFIDENCE:  # not a number is no confidence either
        raise BuildRefused(
            f"{name} gives other confidences than fp32: {found.confidence:.4f} apart, more than"
            f" {CONFIDENCE}: nothing is kept; are the calibration pictures like those served?"
        )


def _answers(slices: Sequence[Slice], predict: Predict) -> tuple[Score, NDArray[np.float64]]:
    """Return the score, and (found something, confidence) of each slice, [2, N]."""
    rows: list[NDArray[np.float64]] = []

    def watched(images: Bytes) -> tuple[Bytes, NDArray[np.float32]]:
        masks, confidence = predict(images)
        rows.append(np.stack((masks.any(axis=(1, 2)), confidence.ravel().astype(np.float64))))
        return masks, confidence

    return evaluate(slices, watched), np.concatenate(rows, axis=1)


def _apart(exact: NDArray[np.float64], built: NDArray[np.float64]) -> float:
    both = (exact[0] > 0) & (built[0] > 0)
    return float(np.abs(exact[1] - built[1])[both].mean()) if both.any() else 0.0


def _alike(exact: Score, built: Score) -> float:
    found = [np.concatenate([one.found.ravel() for one in two.slices]) for two in (exact, built)]
    return dice(found[0], found[1])
