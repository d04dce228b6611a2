"""The variance of the Laplacian on the CPU."""

import numpy as np

from kernels._numba.jit import compiled, floating
from kernels.backend import Array


def sharpness(frame: Array) -> float:
    """Return the variance."""
    return float(_variance(floating(frame)))


@compiled
def _variance(values: Array) -> float:
    rows, columns = values.shape
    # a sum for each column: a row is added in one go, where one sum would wait for every pixel
    sums = np.zeros(columns)
    squares = np.zeros(columns)
    line = np.empty(columns + 2)
    for y in range(rows):
        above = values[abs(y - 1) if rows > 1 else 0]
        below = values[y + 1 if y + 1 < rows else max(rows - 2, 0)]
        for x in range(columns):
            line[x + 1] = values[y, x]
        line[0] = line[min(2, columns)]
        line[columns + 1] = line[max(columns - 1, 1)]
        for x in range(columns):
            around = np.float64(above[x]) + np.float64(below[x]) + line[x] + line[x + 2]
            laplacian = around - 4 * line[x + 1]
            sums[x] += laplacian
            squares[x] += laplacian * laplacian
    size = rows * columns
    variance = squares.sum() / size - (sums.sum() / size) ** 2
    return max(float(variance), 0.0)
