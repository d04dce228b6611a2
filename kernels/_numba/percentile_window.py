"""Percentile window on the CPU: a counting sort for 8 and 16 bits, a partial sort for others."""

import numpy as np

from kernels._numba.jit import compiled, native
from kernels.backend import Array


def percentile_window(frame: Array, low_rank: int, high_rank: int, bins: int) -> Array:
    """Map the values at the two ranks (0 is the smallest) to 0 and bins - 1, uint16."""
    values = native(frame).reshape(-1)
    out = np.zeros(frame.shape, np.uint16)
    if values.dtype.kind == "f":
        ordered = np.partition(values, (low_rank, high_rank))
        low, high = float(ordered[low_rank]), float(ordered[high_rank])
    else:
        low, high = _select(values, int(values.min()), int(values.max()), low_rank, high_rank)
    if low < high:
        _stretch(values, float(low), float(high), (bins - 1) / (high - low), out.reshape(-1))
    return out


@compiled
def _select(values: Array, least: int, most: int, low_rank: int, high_rank: int) -> tuple[int, int]:
    """Return the values at two ranks, by counting."""
    counts = np.zeros(most - least + 1, np.int32)
    for i in range(values.size):
        counts[np.int64(values[i]) - least] += 1
    low = high = least
    below = 0
    for value in range(least, most + 1):
        here = counts[value - least]
        if below <= low_rank < below + here:
            low = value
        if below <= high_rank < below + here:
            high = value
            break
        below += here
    return low, high


@compiled
def _stretch(values: Array, low: float, high: float, scale: float, out: Array) -> None:
    for i in range(values.size):
        inside = min(max(np.float64(values[i]), low), high)
        out[i] = np.uint16(np.int32((inside - low) * scale + 0.5))
