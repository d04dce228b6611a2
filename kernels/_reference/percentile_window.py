"""Order statistics, then a straight line in float64, rounded half up."""

import numpy as np

from kernels.backend import Array


def percentile_window(frame: Array, low_rank: int, high_rank: int, bins: int) -> Array:
    """Map the values at the two ranks (0 is the smallest) to 0 and bins - 1."""
    ordered = np.sort(frame, axis=None).astype(np.float64)
    low, high = ordered[low_rank], ordered[high_rank]
    if low == high:
        return np.zeros(frame.shape, np.uint16)
    inside = np.clip(frame.astype(np.float64), low, high)
    levels: Array = np.floor((inside - low) * ((bins - 1) / (high - low)) + 0.5).astype(np.uint16)
    return levels
