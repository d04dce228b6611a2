"""Zero mean and unit variance on 256 levels, on the CPU."""

import math

import numpy as np

from kernels._numba.jit import compiled, native
from kernels.backend import Array


def normalise(frame: Array, spread: float) -> Array:
    """Return the normalised frame, uint8."""
    values = native(frame).reshape(-1)
    if values.dtype.kind == "f":
        mean, variance = _moments(values)
        variance *= bool(values.min() != values.max())
    else:
        total, squares = (int(moment) for moment in _sums(values))
        mean = total / values.size
        variance = (values.size * squares - total * total) / values.size**2
    out = np.full(frame.shape, 128, np.uint8)
    if variance > 0:
        _levels(values, mean, 255 / (2 * spread * math.sqrt(variance)), out.reshape(-1))
    return out


@compiled
def _sums(values: Array) -> tuple[np.int64, np.int64]:
    """Return the sums of the values and of their squares, exact for 8 and 16 bits."""
    total = squares = np.int64(0)
    for i in range(values.size):
        value = np.int64(values[i])
        total += value
        squares += value * value
    return total, squares


@compiled
def _moments(values: Array) -> tuple[float, float]:
    """Return mean and variance, in two passes (one pass cancels where the mean is large)."""
    mean = _sum_of_powers(values, 0.0, False) / values.size
    return mean, _sum_of_powers(values, mean, True) / values.size


@compiled
def _sum_of_powers(values: Array, middle: float, squared: bool) -> float:
    """Return the sum of `values - middle`, or of its squares; four sums, as one is a chain."""
    a = b = c = d = 0.0
    whole = values.size // 4 * 4
    for i in range(0, whole, 4):
        p = np.float64(values[i]) - middle
        q = np.float64(values[i + 1]) - middle
        r = np.float64(values[i + 2]) - middle
        s = np.float64(values[i + 3]) - middle
        a += p * p if squared else p
        b += q * q if squared else q
        c += r * r if squared else r
        d += s * s if squared else s
    for i in range(whole, values.size):
        p = np.float64(values[i]) - middle
        a += p * p if squared else p
    return (a + b) + (c + d)


@compiled
def _levels(values: Array, mean: float, scale: float, out: Array) -> None:
    for i in range(values.size):
        level = min(max((np.float64(values[i]) - mean) * scale + 127.5, 0.0), 255.0)
        out[i] = np.uint8(np.int32(min(level + 0.5, 255.0)))
