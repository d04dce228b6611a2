"""Sobel's magnitude on the CPU: a row at a time, of which the region's pixels are taken."""

import math

import numpy as np

from kernels._numba.jit import compiled, floating
from kernels.backend import Array


def gradient(frame: Array, mask: Array | None) -> Array:
    """Return the count, then mean, standard deviation and maximum of the magnitude inside."""
    region = np.ones(frame.shape, np.uint8) if mask is None else np.array(mask, order="C")
    steep = np.empty(region.size)
    out = np.zeros(4)
    count = _magnitudes(floating(frame), region, steep)
    if count:
        _statistics(steep[:count], out)
    return out


@compiled
def _magnitudes(values: Array, region: Array, steep: Array) -> int:
    """Line up the magnitudes of the region's pixels; return how many there are."""
    rows, columns = values.shape
    count = 0
    # of a row: the three values of each column, smoothed and their difference, edges repeated
    smooth, change = np.empty(columns + 2), np.empty(columns + 2)
    line = np.empty(columns)
    for y in range(rows):
        above, here, below = values[max(y - 1, 0)], values[y], values[min(y + 1, rows - 1)]
        for x in range(columns):
            top, bottom = np.float64(above[x]), np.float64(below[x])
            smooth[x + 1] = top + 2 * np.float64(here[x]) + bottom
            change[x + 1] = bottom - top
        smooth[0], smooth[columns + 1] = smooth[1], smooth[columns]
        change[0], change[columns + 1] = change[1], change[columns]
        for x in range(columns):
            along = smooth[x + 2] - smooth[x]
            down = change[x] + 2 * change[x + 1] + change[x + 2]
            line[x] = math.sqrt(down * down + along * along) / 8
        for x in range(columns):
            if region[y, x]:
                steep[count] = line[x]
                count += 1
    return count


@compiled
def _statistics(steep: Array, out: Array) -> None:
    mean = steep.sum() / steep.size
    square = 0.0
    for value in steep:
        square += (value - mean) ** 2
    out[0], out[1], out[3] = steep.size, mean, steep.max()
    out[2] = math.sqrt(square / steep.size)
