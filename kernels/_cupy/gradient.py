"""Sobel's magnitude on a GPU. One frame a call."""

import numpy as np

from kernels._cupy.device import empty, launch, zeros
from kernels._cupy.region import partial_sums, region
from kernels.backend import Array


def gradient(frame: Array, mask: Array | None) -> Array:
    """Return the count, then mean, standard deviation and maximum of the magnitude inside."""
    where = (*region(frame, mask), np.int32(frame.shape[1]))
    number, blocks = where[0].dtype, partial_sums(frame.size)
    found, out = zeros((2,), np.uint64), zeros((4,), np.float64)
    sums, squares = empty((blocks,), np.float64), empty((blocks,), np.float64)
    launch("gradient.sum", (blocks,), (*where, found, sums), VALUE=number)
    launch("gradient.spread", (blocks,), (*where, found, sums, squares), VALUE=number)
    arguments = (found, sums, squares, np.int32(blocks), out)
    launch("gradient.finish", (1,), arguments, VALUE=number)
    return out
