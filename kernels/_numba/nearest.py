"""Nearest neighbour between pixel centres, on the CPU."""

import numpy as np

from kernels._numba.jit import compiled, native
from kernels.backend import Array


def nearest(mask: Array, shape: tuple[int, int]) -> Array:
    """Return for each new pixel the label of the old pixel that its centre lies in, uint8."""
    out = np.empty(shape, np.uint8)
    _nearest(native(mask), out)
    return out


@compiled
def _nearest(mask: Array, out: Array) -> None:
    rows, columns = out.shape
    source = np.empty(columns, np.int32)
    for x in range(columns):
        source[x] = (2 * x + 1) * mask.shape[1] // (2 * columns)
    for y in range(rows):
        line = mask[(2 * y + 1) * mask.shape[0] // (2 * rows)]
        for x in range(columns):
            out[y, x] = line[source[x]]
