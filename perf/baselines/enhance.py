"""The chain "enhance" for a 512 x 512 frame as one would write it with OpenCV, and with SciPy.

Window, 3 x 3 median, CLAHE, unsharp mask, 256 x 256 by area, normalise to uint8. OpenCV works on
16 bits throughout, as its CLAHE does: the window then saturates by itself at both ends.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from scipy import ndimage
from skimage.exposure import equalize_adapthist
from skimage.transform import downscale_local_mean

Array = np.ndarray[Any, np.dtype[Any]]


class OpenCV:
    """The chain in OpenCV on one thread; what can be made once is made once."""

    def __init__(self, center: float, width: float) -> None:
        cv2.setNumThreads(1)
        self.slope = 65535 / (width - 1)
        self.offset = 65535 / 2 - (center - 0.5) * self.slope
        self.clahe = cv2.createCLAHE(32.0, (8, 8))

    def __call__(self, frame: Array) -> Array:
        grey = cv2.addWeighted(frame, self.slope, frame, 0, self.offset, dtype=cv2.CV_16U)
        grey = self.clahe.apply(cv2.medianBlur(grey, 3))
        blurred = cv2.GaussianBlur(grey, (9, 9), 1.0, borderType=cv2.BORDER_REPLICATE)
        sharp = cv2.addWeighted(grey, 1.5, blurred, -0.5, 0)
        small = cv2.resize(sharp, (256, 256), interpolation=cv2.INTER_AREA)
        mean, deviation = (float(moment[0, 0]) for moment in cv2.meanStdDev(small))
        scale = 255 / (6 * deviation)
        picture: Array = cv2.addWeighted(
            small, scale, small, 0, 127.5 - mean * scale, dtype=cv2.CV_8U
        )
        return picture


def scipy(frame: Array, center: float, width: float) -> Array:
    """Return the picture of the chain in NumPy, SciPy and scikit-image, float32 where it helps."""
    grey = (frame.astype(np.float32) - np.float32(center - 0.5)) * np.float32(1 / (width - 1))
    levels = (np.clip(grey + np.float32(0.5), 0, 1) * 4095 + 0.5).astype(np.uint16)
    levels = ndimage.median_filter(levels, size=3, mode="nearest")
    equal = equalize_adapthist(levels, kernel_size=64, clip_limit=2 / 4096, nbins=4096)
    equal = equal.astype(np.float32)
    sharp = equal + 0.5 * (equal - ndimage.gaussian_filter(equal, 1.0, mode="nearest"))
    small = downscale_local_mean(np.clip(sharp, 0, 1), (2, 2))
    scaled = (small - small.mean()) * (255 / (6 * small.std())) + 128
    picture: Array = np.clip(scaled, 0, 255).astype(np.uint8)
    return picture
