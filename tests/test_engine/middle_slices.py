"""A few slices through the middle of phantoms' hearts: none with a cavity of a dozen pixels."""

from __future__ import annotations

from engine.phantom import Phantom
from engine.training.data import Slice


def middle_slices(seed: int) -> tuple[Slice, ...]:
    """Return three slices of one heart at end diastole, all of a subject `phantom-SEED`."""
    heart = Phantom(seed=seed)
    return tuple(
        Slice(
            name=f"phantom-{seed}-{index}",
            subject=f"phantom-{seed}",
            pixels=heart.image(index, 0),
            mask=heart.mask(index, 0),
        )
        for index in (3, 4, 5)
    )
