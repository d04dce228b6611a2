"""Immerkaer's noise estimate on a GPU. One frame a call."""

import math

import numpy as np

from kernels._cupy.device import empty, launch, native, zeros
from kernels._cupy.region import partial_sums
from kernels.backend import Array


def noise(frame: Array) -> Array:
    """Return the estimate, float64 ()."""
    rows, columns = frame.shape
    if min(rows, columns) < 3:
        return zeros((), np.float64)
    values, inner = native(frame), (rows - 2) * (columns - 2)
    blocks = partial_sums(inner)
    sums, out = empty((blocks,), np.float64), empty((), np.float64)
    arguments = (values, np.int32(rows), np.int32(columns), sums)
    launch("noise.sum", (blocks,), arguments, VALUE=values.dtype)
    scale = np.float64(math.sqrt(math.pi / 2) / 6 / inner)
    launch("noise.finish", (1,), (sums, np.int32(blocks), scale, out), VALUE=values.dtype)
    return out
