"""The sums over a region that its shape is computed from, on a GPU. One mask a call."""

import numpy as np

from kernels._cupy.device import launch, native, zeros
from kernels._cupy.region import partial_sums
from kernels.backend import Array


def shape(mask: Array) -> Array:
    """Return the count; the sums of y, x, y², x², xy; straight, diagonal, turning: int64 (9,)."""
    rows, columns = mask.shape
    out = zeros((9,), np.uint64)
    arguments = (native(mask), np.int32(rows), np.int32(columns), out)
    launch("shape.sum", (partial_sums(mask.size),), arguments)
    return out.view(np.int64)
