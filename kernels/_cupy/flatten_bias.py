"""Homomorphic flattening on a GPU."""

import numpy as np

from kernels._cupy.device import THREADS, batched, blocks, empty, launch, native
from kernels._reference.flatten_bias import PASSES, PRIOR
from kernels.backend import Array

_EACH = 16 * THREADS  # pixels a block sums up, where that makes no more blocks than THREADS


def flatten_bias(frame: Array, radius: int, background: float) -> Array:
    """Return the frame divided by its field, float32."""
    values = native(frame)
    frames, rows, columns = batched(values)
    size = np.int32(rows * columns)
    parts = min(blocks(rows * columns, _EACH), THREADS)
    partial = empty((frames, 3, parts), np.float64)
    planes = empty((frames, 2, rows, columns), np.float64)
    grid = parts, 1, frames
    launch("flatten_bias.add", grid, (values, partial, size), VALUE=values.dtype)
    arguments = (values, planes, partial, size, np.float64(background))
    launch("flatten_bias.logarithms", grid, arguments, VALUE=values.dtype)
    grid = blocks(rows * columns), 1, frames
    given = (planes, partial, np.int32(parts), size)
    launch("flatten_bias.centre", grid, given, VALUE=values.dtype)
    _smooth(planes, radius, values.dtype)
    out = empty(values.shape, np.float32)
    prior = np.float64(PRIOR * float(2 * radius + 1) ** (2 * PASSES))
    launch("flatten_bias.divide", grid, (values, planes, out, size, prior), VALUE=values.dtype)
    return out


def _smooth(planes: Array, radius: int, dtype: object) -> None:
    """Replace the planes by their box sums, PASSES times."""
    frames, two, rows, columns = planes.shape
    between = empty(planes.shape, np.float64)
    grid = blocks(columns), rows, two * frames
    sizes = np.int32(rows), np.int32(columns), np.int32(radius)
    for _ in range(PASSES):
        launch("flatten_bias.sum_down", grid, (planes, between, *sizes), VALUE=dtype)
        launch("flatten_bias.sum_along", grid, (between, planes, *sizes), VALUE=dtype)
