"""Is a build the network that it was built from? Its masks against fp32's, and the labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from engine.errors import BuildRefused
from engine.training.data import Slice
from engine.training.evaluate import Predict, Score, dice, evaluate

LOST = 0.002  # of the mean Dice over subjects
# Dice of the build's masks to fp32's, over all pixels. int8 as it should be keeps 0.994 and more;
# calibrated on pictures three times too dark 0.990 and less, saturated 0.969 and less
# (docs/decisions/0011-builds.md). The mean over slices would hang on those with a few pixels found.
ALIKE = 0.99


@dataclass(frozen=True, kw_only=True)
class Drift:
    """Dice to the labels, mean over subjects, of both; and of the masks to each other."""

    fp32: float
    build: float
    lost: float
    most_lost: float
    alike: float

    def as_json(self) -> dict[str, Any]:
        """Return the figures to five places: more are noise."""
        return {name: round(value, 5) for name, value in asdict(self).items()}


def drift(slices: Sequence[Slice], fp32: Predict, build: Predict) -> Drift:
    """Run both on every slice.

    Raises `BuildRefused` where fp32 finds nothing: then nothing would be proved.
    """
    exact, built = evaluate(slices, fp32), evaluate(slices, build)
    if not any(one.found.any() for one in exact.slices):
        raise BuildRefused("fp32 finds nothing on the pictures to check: give others with --data")
    lost = [exact.subjects[name] - built.subjects[name] for name in exact.subjects]
    return Drift(
        fp32=exact.mean,
        build=built.mean,
        lost=exact.mean - built.mean,
        most_lost=max(lost),
        alike=_alike(exact, built),
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


def _alike(exact: Score, built: Score) -> float:
    found = [np.concatenate([one.found.ravel() for one in two.slices]) for two in (exact, built)]
    return dice(found[0], found[1])
