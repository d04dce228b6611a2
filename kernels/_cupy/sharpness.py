"""The variance of the Laplacian on a GPU. One frame a call."""

import numpy as np

from kernels._cupy.device import empty, launch, native
from kernels._cupy.region import partial_sums
from kernels.backend import Array


def sharpness(frame: Array) -> Array:
    """Return the variance, float64 ()."""
    values = native(frame)
    rows, columns = values.shape
    blocks = partial_sums(values.size)
    sums, out = empty((2, blocks), np.float64), empty((), np.float64)
    arguments = (values, np.int32(rows), np.int32(columns), sums)
    launch("sharpness.sum", (blocks,), arguments, VALUE=values.dtype)
    results = (sums, np.int32(blocks), np.int64(values.size), out)
    launch("sharpness.finish", (1,), results, VALUE=values.dtype)
    return out
