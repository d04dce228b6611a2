"""Window, resample and normalise on the CPU; of the frame, only the rows in use are in memory."""

import numpy as np

from kernels._numba.jit import compiled, native
from kernels._numba.normalise import normalise
from kernels._numba.resample import along, taps
from kernels._numba.window import curve_of, grey
from kernels.backend import Array


def window_resample_normalise(
    frame: Array,
    center: float,
    width: float,
    function: str,
    shape: tuple[int, int],
    method: str,
    spread: float,
) -> Array:
    """Return the picture, uint8 of `shape`."""
    small = np.empty(shape, np.float32)
    rows = taps(frame.shape[0], shape[0], method)
    columns = taps(frame.shape[1], shape[1], method)
    curve = curve_of(center, width, function)
    _grey_on_grid(native(frame), curve, *rows, *columns, small)
    return normalise(small, spread)


@compiled
def _grey_on_grid(
    values: Array,
    curve: tuple[int, float, float],
    row_first: Array,
    row_weights: Array,
    column_first: Array,
    column_weights: Array,
    out: Array,
) -> None:
    taps = row_weights.shape[1]
    # the rows of a list of weights lie in a ring: each row of the frame is windowed once
    ring = np.empty((taps, values.shape[1]), np.float32)
    # float64: sums that are equal must stay equal, as a constant frame has no deviation
    line = np.empty(values.shape[1], np.float64)
    ready = 0
    for y in range(out.shape[0]):
        ready = max(ready, row_first[y])
        while ready < row_first[y] + taps:
            grey(values[ready], curve[0], curve[1], curve[2], ring[ready % taps])
            ready += 1
        line[:] = 0
        for tap in range(taps):
            _add(ring[(row_first[y] + tap) % taps], row_weights[y, tap], line)
        along(line, column_first, column_weights, out[y])


@compiled
def _add(source: Array, weight: float, line: Array) -> None:
    for x in range(line.size):
        line[x] += weight * source[x]
