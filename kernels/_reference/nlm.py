"""Non-local means, one shift of the frame after the other, in float64."""

import numpy as np

from kernels.backend import Array


def nlm(frame: Array, strength: float, patch: int, search: int) -> Array:
    """Return the filtered frame, in its own dtype. `patch` and `search` are radii."""
    rows, columns = frame.shape
    margin = patch + search
    values = frame.astype(np.float64)
    padded = np.pad(values, margin, mode="edge")
    here = padded[search : search + rows + 2 * patch, search : search + columns + 2 * patch]
    total, weights = np.zeros_like(values), np.zeros_like(values)
    for top in range(2 * search + 1):
        for left in range(2 * search + 1):
            there = padded[top : top + here.shape[0], left : left + here.shape[1]]
            weight = np.exp(-_box_mean((there - here) ** 2, patch) / strength**2)
            middle = there[patch : patch + rows, patch : patch + columns]
            total += weight * (middle - values)
            weights += weight
    smooth = values + total / weights
    if frame.dtype.kind == "f":
        return smooth.astype(frame.dtype)
    return np.floor(smooth + 0.5).astype(frame.dtype)


def _box_mean(values: Array, radius: int) -> Array:
    """Return the mean of each (2 * radius + 1)-square that lies inside."""
    side = 2 * radius + 1
    windows = np.lib.stride_tricks.sliding_window_view(values, (side, side))
    mean: Array = windows.mean(axis=(2, 3))
    return mean
