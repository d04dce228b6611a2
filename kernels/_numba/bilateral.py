"""The bilateral filter on the CPU: a row of the picture and an offset at a time."""

import numpy as np

from kernels._numba.exponential import exp_negative
from kernels._numba.jit import compiled, native
from kernels.backend import Array


def bilateral(frame: Array, sigma_space: float, sigma_value: float, radius: int) -> Array:
    """Return the filtered frame, in its own dtype."""
    values = native(frame)
    padded = np.pad(single(values), radius, mode="edge")
    change = np.empty(values.shape, np.float32)
    _filter(padded, radius, 0.5 / sigma_space**2, 1 / (sigma_value * 2**0.5), change)
    return moved(frame, change)


def single(values: Array) -> Array:
    """Return the values in float32, wide ones from their minimum: differences are what counts."""
    wide = values.dtype == np.float64
    return np.asarray(values - values.min() if wide else values, np.float32)


def moved(frame: Array, change: Array) -> Array:
    """Return `frame + change` in the dtype of the frame; an average never leaves its range."""
    result: Array = np.clip(frame + change.astype(np.float64), frame.min(), frame.max())
    if frame.dtype.kind in "ui":
        np.floor(result + 0.5, out=result)
    return result.astype(frame.dtype)


@compiled
def _filter(padded: Array, radius: int, near: float, alike: float, change: Array) -> None:
    rows, columns = change.shape
    steepness = np.float32(alike)
    bits = np.empty(columns, np.int32)
    lines = np.empty((4, columns), np.float32)
    distance, weight, total, weights = lines[0], lines[1], lines[2], lines[3]
    for y in range(rows):
        here = padded[y + radius][radius : radius + columns]
        total[:] = 0
        weights[:] = 0
        for dy in range(-radius, radius + 1):
            for dx in range(-radius, radius + 1):
                squared = dy * dy + dx * dx
                if squared > radius * radius:
                    continue
                there = padded[y + radius + dy][radius + dx : radius + dx + columns]
                far = np.float32(squared * near)
                for x in range(columns):
                    step = (there[x] - here[x]) * steepness
                    distance[x] = step * step + far
                exp_negative(distance, bits, weight)
                for x in range(columns):
                    total[x] += weight[x] * (there[x] - here[x])
                    weights[x] += weight[x]
        for x in range(columns):
            change[y, x] = total[x] / weights[x]
