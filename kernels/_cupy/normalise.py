"""Zero mean and unit variance on 256 levels, on a GPU."""

import numpy as np

from kernels._cupy.device import QUADS, THREADS, batched, blocks, empty, launch, native
from kernels.backend import Array

_EACH = 16 * THREADS  # pixels a block sums up, where that makes no more blocks than THREADS


def normalise(frame: Array, spread: float) -> Array:
    """Return the normalised frame, uint8."""
    values = native(frame)
    frames, rows, columns = batched(values)
    size = np.int32(rows * columns)
    parts = min(blocks(rows * columns, _EACH), THREADS)
    partial = empty((frames, 3, parts), np.float64)
    grid = parts, 1, frames
    launch("normalise.add", grid, (values, partial, size), VALUE=values.dtype)
    launch("normalise.add_squares", grid, (values, partial, size), VALUE=values.dtype)
    out = empty(values.shape, np.uint8)
    arguments = (values, out, partial, np.int32(parts), size, np.float64(spread))
    grid = blocks(rows * columns, QUADS), 1, frames
    launch("normalise.levels", grid, arguments, VALUE=values.dtype)
    return out
