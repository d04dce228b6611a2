"""Features of a frame that tell pictures like those in training from others."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from kernels import fit

BRIGHT = 224  # of 255: the top eighth of the enhanced picture's range
_VALUES = np.arange(256.0)


def features(
    image: np.ndarray, shape: tuple[int, int], mask: np.ndarray, confidence: Sequence[float]
) -> dict[str, float]:
    """Return a few cheap numbers with names; every one is finite.

    `image` is the model's input, uint8 (side, side), `mask` its label map on the same grid,
    `confidence` one number in [0, 1] a label, `shape` the frame's (rows, columns): the margins
    of the letterbox are no part of the picture.

    - `sharpness`: log2(1 + mean absolute Laplacian), 4 neighbours, grey levels of 0 to 255
    - `contrast`: standard deviation of the grey levels
    - `skewness`: third standardised moment of the grey levels; 0 for a blank picture
    - `bright_share`: share of pixels of 224 and more
    - `mask_share`: share of the picture inside the mask, any label
    - `mask_confidence`: the lowest confidence of a label that is there; absent with an empty mask
    """
    picture, inside = _within(image, shape), _within(mask, shape)
    found = {
        "sharpness": _sharpness(picture),
        **_histogram(picture),
        "mask_share": int(np.count_nonzero(inside)) / inside.size,
    }
    sure = [one for label, one in enumerate(confidence, start=1) if (inside == label).any()]
    return {**found, "mask_confidence": float(min(sure))} if sure else found


def _within(image: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    place = fit(shape, image.shape[0])
    return image[place.top : place.top + place.rows, place.left : place.left + place.columns]


def _sharpness(picture: np.ndarray) -> float:
    """Blur takes the Laplacian away sooner than the gradient; noise multiplies it: so the log."""
    if min(picture.shape) < 3:
        return 0.0
    grey = picture.astype(np.int16)
    around = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
    return math.log2(1 + float(np.abs(4 * grey[1:-1, 1:-1] - around).mean()))


def _histogram(picture: np.ndarray) -> dict[str, float]:
    shares = np.bincount(picture.ravel(), minlength=256) / picture.size
    offsets = _VALUES - float(shares @ _VALUES)
    deviation = float(shares @ offsets**2) ** 0.5
    third = float(shares @ offsets**3)
    return {
        "contrast": deviation,
        # A blank picture's deviation is rounding, which the ratio would blow up.
        "skewness": third / deviation**3 if deviation > 1e-3 else 0.0,
        "bright_share": float(shares[BRIGHT:].sum()),
    }
