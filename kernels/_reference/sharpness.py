"""The variance of the Laplacian, in float64."""

import numpy as np

from kernels.backend import Array


def sharpness(frame: Array) -> Array:
    """Return the variance, float64 ()."""
    values = frame.astype(np.float64)
    padded = np.pad(values, 1, mode="reflect")  # an axis of one pixel is repeated
    around = padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:]
    return np.asarray((around - 4 * values).var())
