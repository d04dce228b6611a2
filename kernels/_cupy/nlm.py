"""Non-local means on a GPU."""

import numpy as np

from kernels._cupy.bilateral import rounding
from kernels._cupy.device import batched, blocks, empty, launch, native
from kernels.backend import Array

_SIDE = 16  # as in nlm.cu


def nlm(frame: Array, strength: float, patch: int, search: int) -> Array:
    """Return the filtered frame, in its own dtype. `patch` and `search` are radii."""
    values = native(frame)
    frames, rows, columns = batched(values)
    out = empty(values.shape, values.dtype)
    sizes = np.int32(rows), np.int32(columns), np.int32(patch), np.int32(search)
    scale = np.float32(1 / (strength * (2 * patch + 1)))
    grid = blocks(columns, _SIDE), blocks(rows, _SIDE), frames
    arguments = (values, out, *sizes, scale, *rounding(frame.dtype))
    launch("nlm.filter", grid, arguments, threads=_SIDE * _SIDE, VALUE=values.dtype)
    return out.astype(frame.dtype, copy=False)
