"""The unsharp mask on the CPU, a row at a time.

For 8 and 16 bits in float32, whose blur is exact to a hundredth of a level: a row is blurred along
once, and a ring holds the rows that are then blurred down. All others in float64.
"""

from functools import lru_cache

import numpy as np

from kernels._numba.jit import compiled, native
from kernels.backend import Array

_MOST = 1e30


def unsharp(frame: Array, sigma: float, amount: float) -> Array:
    """Return the sharpened frame, in its own dtype."""
    values = native(frame)
    out = np.empty_like(values)
    if values.dtype.kind in "ui":
        short = np.iinfo(frame.dtype)
        weights = _weights(sigma).astype(np.float32)
        # what saturates anyway, within float32: infinity times zero would be NaN
        times = min(max(amount, -_MOST), _MOST)
        _unsharp_integers(values, weights, times, float(short.min), float(short.max), out)
        return out.astype(frame.dtype, copy=False)
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


@compiled
def _unsharp_integers(
    values: Array, weights: Array, amount: float, low: float, high: float, out: Array
) -> None:
    rows, columns = values.shape
    radius = weights.size - 1
    ring = np.empty((2 * radius + 1, columns), np.float32)
    line = np.empty(columns + 2 * radius, np.float32)
    blurred = np.empty(columns, np.float32)
    ready = 0
    for y in range(rows):
        while ready < min(y + radius + 1, rows):
            _blur_along(values[ready], weights, line, ring[ready % ring.shape[0]])
            ready += 1
        _scale(ring[y % ring.shape[0]], weights[0], blurred)
        for k in range(1, radius + 1):
            above = ring[max(y - k, 0) % ring.shape[0]]
            below = ring[min(y + k, rows - 1) % ring.shape[0]]
            _add_pair(above, below, weights[k], blurred)
        _sharpen(values[y], blurred, amount, low, high, out[y])


@compiled
def _blur_along(values: Array, weights: Array, line: Array, out: Array) -> None:
    columns, radius = out.size, weights.size - 1
    for x in range(columns):
        line[radius + x] = np.float32(np.int32(values[x]))
    line[:radius] = line[radius]
    line[radius + columns :] = line[radius + columns - 1]
    _scale(line[radius : radius + columns], weights[0], out)
    for k in range(1, radius + 1):
        left = line[radius - k : radius - k + columns]
        _add_pair(left, line[radius + k : radius + k + columns], weights[k], out)


@compiled
def _scale(values: Array, weight: float, out: Array) -> None:
    for x in range(out.size):
        out[x] = weight * values[x]


@compiled
def _add_pair(one: Array, other: Array, weight: float, out: Array) -> None:
    for x in range(out.size):
        out[x] += weight * (one[x] + other[x])


@compiled
def _sharpen(
    values: Array, blurred: Array, amount: float, low: float, high: float, out: Array
) -> None:
    times, half = np.float32(amount), np.float32(0.5)
    least, most = np.float32(low), np.float32(high)
    for x in range(out.size):
        value = np.float32(np.int32(values[x]))
        sharp = value + times * (value - blurred[x])
        out[x] = np.int32(np.floor(min(max(sharp, least), most) + half))
