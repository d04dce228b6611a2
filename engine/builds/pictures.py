"""The pictures that a build is calibrated on, and the others that it is checked on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from engine.enhance import enhance_array
from engine.errors import ConfigError
from engine.phantom import Phantom
from engine.training import data
from engine.training.data import CHAIN, Bytes, Slice

CALIBRATION = 32  # pictures: with 16 or 64 the masks are as alike
HEARTS, FRAMES = 8, 4


@dataclass(frozen=True, kw_only=True)
class Material:
    """`calibration` and `check` are slices of different subjects, or of different phantoms."""

    calibration: tuple[Slice, ...]
    check: tuple[Slice, ...]
    real: bool
    trained_on: tuple[str, ...] = ()

    def calibration_images(self) -> Bytes:
        """Return what the network sees of the calibration slices, uint8 [N, 1, 256, 256]."""
        return np.stack([enhance_array(one.pixels, CHAIN) for one in self.calibration])[:, None]

    def as_json(self) -> dict[str, Any]:
        """Return what the provenance says of them; subjects are the names in the data's files.

        Checked subjects that the weights were trained on are named too, where there are any.
        """
        seen = sorted({one.subject for one in self.check} & {*self.trained_on})
        check = {**self._told(self.check), **({"trained_on": seen} if seen else {})}
        return {"calibration": self._told(self.calibration), "check": check}

    def _told(self, slices: Sequence[Slice]) -> dict[str, Any]:
        names = sorted({one.subject for one in slices})
        return {"subjects": names if self.real else "phantoms", "slices": len(slices)}


def material(folder: Path | None, subjects: Sequence[str], trained_on: Sequence[str]) -> Material:
    """Return slices of `folder`, or phantoms without one.

    Checked are `subjects`, by default the validation subjects; calibrated is on `trained_on`, what
    the weights were made from, by default all but the held-out and the validation subjects.
    Raises `ConfigError` for a subject that is not there, and when none is left to calibrate on.
    """
    if folder is None:
        return Material(calibration=phantoms(1), check=phantoms(2), real=False)
    check = tuple(subjects) or data.VALIDATION
    kept_apart = {*check, *data.HELD_OUT, *data.VALIDATION}
    there = data.subjects_in(folder)
    learnt = [name for name in there if name in trained_on and name not in check]
    learnt = learnt or [name for name in there if name not in kept_apart]
    if not learnt:
        raise ConfigError(f"no subject is left in {folder} to calibrate on")
    slices = data.load_slices(folder, learnt)
    chosen = np.unique(np.linspace(0, len(slices) - 1, CALIBRATION).round().astype(int))
    return Material(
        calibration=tuple(slices[index] for index in chosen),
        check=tuple(data.load_slices(folder, check)),
        real=True,
        trained_on=tuple(trained_on),
    )


def phantoms(seed: int) -> tuple[Slice, ...]:
    """Return 32 frames of hearts of all sizes, one subject each, with the cavity as their label."""
    rng = np.random.default_rng((seed, 13))
    found = []
    for number in range(HEARTS):
        heart = Phantom(
            ejection_fraction=float(rng.uniform(15, 75)),
            seed=int(rng.integers(2_000_000, 3_000_000)),  # neither trained on nor demonstrated
            noise=float(rng.uniform(0.5, 2.0)),
        )
        for index in rng.choice(heart.slices, FRAMES, replace=False):
            phase = int(rng.integers(heart.phases))
            found.append(
                Slice(
                    name=f"phantom-{number}-{index}-{phase}",
                    subject=f"phantom-{number}",
                    pixels=cast(Bytes, heart.image(int(index), phase)),  # the chain takes 12 bits
                    mask=heart.mask(int(index), phase),
                )
            )
    return tuple(found)
