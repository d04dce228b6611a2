"""Non-local means on the CPU: some rows and a shift at a time, so that what is in use stays near.

The squared differences of a shift are summed down and then along, which costs 2 * side additions
a pixel and not side**2.
"""

import numpy as np

from kernels._numba.bilateral import moved, single
from kernels._numba.exponential import exp_negative
from kernels._numba.jit import compiled, native
from kernels.backend import Array

_ROWS = 16


def nlm(frame: Array, strength: float, patch: int, search: int) -> Array:
    """Return the filtered frame, in its own dtype. `patch` and `search` are radii."""
    values = native(frame)
    padded = np.pad(single(values), patch + search, mode="edge")
    change = np.empty(values.shape, np.float32)
    scale = 1 / (strength * (2 * patch + 1))
    for top in range(0, values.shape[0], _ROWS):
        _filter(padded, top, patch, search, scale, change[top : top + _ROWS])
    return moved(frame, change)


@compiled
def _filter(
    padded: Array, first: int, patch: int, search: int, scale: float, change: Array
) -> None:
    """Average a band of rows over all shifts; row `first` of the frame is row 0 of `change`."""
    rows, columns = change.shape
    side, margin = 2 * patch + 1, patch + search
    squares = np.empty((rows + 2 * patch, columns + 2 * patch), np.float32)
    weight = np.empty((rows, columns), np.float32)
    weights = np.zeros((rows, columns), np.float32)
    change[:] = 0
    for dy in range(-search, search + 1):
        for dx in range(-search, search + 1):
            _differ(padded, first + search, search, dy, dx, scale, squares)
            _weigh(squares, side, weight)
            for y in range(rows):
                here = padded[first + margin + y][margin : margin + columns]
                there = padded[first + margin + y + dy][margin + dx : margin + dx + columns]
                for x in range(columns):
                    change[y, x] += weight[y, x] * (there[x] - here[x])
                    weights[y, x] += weight[y, x]
    for y in range(rows):
        for x in range(columns):
            change[y, x] /= weights[y, x]


@compiled
def _differ(
    padded: Array, top: int, left: int, dy: int, dx: int, scale: float, squares: Array
) -> None:
    columns, factor = squares.shape[1], np.float32(scale)
    for y in range(squares.shape[0]):
        here = padded[top + y][left : left + columns]
        there = padded[top + y + dy][left + dx : left + dx + columns]
        line = squares[y]
        for x in range(columns):
            step = (there[x] - here[x]) * factor
            line[x] = step * step


@compiled
def _weigh(squares: Array, side: int, weight: Array) -> None:
    """Sum the squares of each patch, down and along, and take exp of minus that."""
    columns = weight.shape[1]
    down = np.empty(squares.shape[1], np.float32)
    along = np.empty(columns, np.float32)
    bits = np.empty(columns, np.int32)
    for y in range(weight.shape[0]):
        down[:] = 0
        for k in range(side):
            line = squares[y + k]
            for x in range(down.size):
                down[x] += line[x]
        along[:] = 0
        for k in range(side):
            shifted = down[k : k + columns]
            for x in range(columns):
                along[x] += shifted[x]
        exp_negative(along, bits, weight[y])
