"""The bilateral filter, one shift of the frame after the other, in float64."""

import numpy as np

from kernels.backend import Array


def bilateral(frame: Array, sigma_space: float, sigma_value: float, radius: int) -> Array:
    """Return the filtered frame, in its own dtype."""
    rows, columns = frame.shape
    values = frame.astype(np.float64)
    padded = np.pad(values, radius, mode="edge")
    total, weights = np.zeros_like(values), np.zeros_like(values)
    for dy in range(-radius, radius + 1):
        for dx in range(-radius, radius + 1):
            squared = dy * dy + dx * dx
            if squared > radius * radius:
                continue
            top, left = radius + dy, radius + dx
            there = padded[top : top + rows, left : left + columns]
            far = 0.5 * squared / sigma_space**2
            weight = np.exp(-0.5 * ((there - values) / sigma_value) ** 2 - far)
            total += weight * (there - values)
            weights += weight
    smooth = values + total / weights
    return smooth.astype(frame.dtype) if frame.dtype.kind == "f" else _rounded(smooth, frame.dtype)


def _rounded(values: Array, dtype: np.dtype[np.generic]) -> Array:
    return np.floor(values + 0.5).astype(dtype)
