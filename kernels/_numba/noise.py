"""Immerkaer's noise estimate on the CPU."""

import math

import numpy as np

from kernels._numba.jit import compiled, floating
from kernels.backend import Array


def noise(frame: Array) -> float:
    """Return the estimate."""
    if min(frame.shape) < 3:
        return 0.0
    inner = (frame.shape[0] - 2) * (frame.shape[1] - 2)
    mean: float = _magnitude(floating(frame)) / inner
    return math.sqrt(math.pi / 2) / 6 * mean


@compiled
def _magnitude(values: Array) -> float:
    """Return the sum of the filter's magnitude over the inner pixels."""
    rows, columns = values.shape
    # a sum for each column: a row is added in one go, where one sum would wait for every pixel
    sums = np.zeros(columns - 2)
    down = np.empty(columns)
    for y in range(1, rows - 1):
        for x in range(columns):
            beside = np.float64(values[y - 1, x]) + np.float64(values[y + 1, x])
            down[x] = beside - 2 * np.float64(values[y, x])
        for x in range(columns - 2):
            sums[x] += abs(down[x] - 2 * down[x + 1] + down[x + 2])
    return float(sums.sum())
