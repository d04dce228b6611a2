"""The unsharp mask as two matrix products, in float64."""

import numpy as np

from kernels.backend import Array


def unsharp(frame: Array, sigma: float, amount: float) -> Array:
    """Return the sharpened frame, in its own dtype."""
    values = frame.astype(np.float64)
    blurred = blur(frame.shape[0], sigma) @ values @ blur(frame.shape[1], sigma).T
    sharp = values + amount * (values - blurred)
    if frame.dtype.kind == "f":
        return sharp.astype(frame.dtype)
    limits = np.iinfo(frame.dtype)
    # clipped before the cast, as float: one past the end wraps around
    return np.clip(np.floor(sharp + 0.5), limits.min, limits.max).astype(frame.dtype)


def blur(length: int, sigma: float) -> Array:
    """Return the (length, length) matrix that blurs one axis; its rows sum to 1."""
    radius = int(4 * sigma + 0.5)
    offsets = np.arange(-radius, radius + 1)
    weights = np.exp(-0.5 * (offsets / sigma) ** 2)
    matrix = np.zeros((length, length))
    for i in range(length):
        np.add.at(matrix[i], np.clip(i + offsets, 0, length - 1), weights / weights.sum())
    return matrix
