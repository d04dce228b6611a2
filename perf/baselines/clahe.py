"""CLAHE as OpenCV and scikit-image have it, for frames of 12 bits in uint16."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from skimage.exposure import equalize_adapthist

Array = np.ndarray[Any, np.dtype[Any]]


def opencv(clip_limit: float, tiles: int) -> Callable[[Array], Array]:
    """Return OpenCV's CLAHE, made once. It counts in 65,536 bins whatever a frame holds."""
    cv2.setNumThreads(1)
    apply: Callable[[Array], Array] = cv2.createCLAHE(clip_limit, (tiles, tiles)).apply
    return apply


def scikit_image(frame: Array, clip_limit: float, tiles: int, bins: int) -> Array:
    """Return the equalised frame, float64 in [0, 1]; tiles and clip limit as ours.

    Its clip limit is a share of a tile's pixels, ours a multiple of its histogram's mean height.
    """
    kernel = frame.shape[0] // tiles, frame.shape[1] // tiles
    equalised: Array = equalize_adapthist(
        frame, kernel_size=kernel, clip_limit=clip_limit / bins, nbins=bins
    )
    return equalised
