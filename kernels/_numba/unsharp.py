"""The unsharp mask on the CPU: the columns of a row at a time, then along the row."""

from functools import lru_cache

import numpy as np

from kernels._numba.jit import compiled, native
from kernels.backend import Array


def unsharp(frame: Array, sigma: float, amount: float) -> Array:
    """Return the sharpened frame, in its own dtype."""
    values = native(frame)
    out = np.empty_like(values)
    low = high = half = 0.0
    if frame.dtype.kind in "ui":
        limits = np.iinfo(frame.dtype)
        low, high, half = float(limits.min), float(limits.max), 0.5
    _unsharp(values, _weights(sigma), amount, low, high, half, out)
    return out.astype(frame.dtype, copy=False)


@lru_cache(maxsize=16)
def _weights(sigma: float) -> Array:
    """Return the Gaussian from its middle outwards, (radius + 1,); mirrored it sums to 1."""
    weights = np.exp(-0.5 * (np.arange(int(4 * sigma + 0.5) + 1) / sigma) ** 2)
    return np.asarray(weights / (2 * weights.sum() - weights[0]))


@compiled
def _unsharp(
    values: Array, weights: Array, amount: float, low: float, high: float, half: float, out: Array
) -> None:
    rows, columns = values.shape
    radius = weights.size - 1
    # the row blurred down its columns, with the replicated edge on both sides
    line = np.empty(columns + 2 * radius, np.float64)
    blurred = np.empty(columns, np.float64)
    inner = line[radius : radius + columns]
    for y in range(rows):
        inner[:] = weights[0] * values[y]
        for k in range(1, radius + 1):
            above = values[max(y - k, 0)]
            below = values[min(y + k, rows - 1)]
            for x in range(columns):
                inner[x] += weights[k] * (np.float64(above[x]) + np.float64(below[x]))
        line[:radius] = inner[0]
        line[radius + columns :] = inner[columns - 1]
        blurred[:] = weights[0] * inner
        for k in range(1, radius + 1):
            for x in range(columns):
                blurred[x] += weights[k] * (line[radius + x - k] + line[radius + x + k])
        for x in range(columns):
            value = np.float64(values[y, x])
            sharp = value + amount * (value - blurred[x])
            out[y, x] = min(max(np.floor(sharp + half), low), high) if half else sharp
