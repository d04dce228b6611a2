"""Resampling on a GPU: first the rows, then the columns, by short lists of weights."""

from typing import Any

import numpy as np

from kernels._cupy.device import batched, blocks, empty, launch, native, rounding
from kernels._cupy.taps import taps
from kernels.backend import Array


def resample(frame: Array, shape: tuple[int, int], method: str) -> Array:
    """Return the frame on a grid of `shape`, in its own dtype."""
    values = native(frame)
    frames, rows, columns = batched(values)
    between = empty((frames, shape[0], columns), np.float64)
    first, weights = taps(rows, shape[0], method)
    given = (first, weights, np.int32(weights.shape[1]), np.int32(rows), np.int32(columns))
    grid = blocks(columns), shape[0], frames
    launch("resample.down", grid, (values, between, *given), VALUE=values.dtype)
    out = along(between, frame.dtype, values.dtype, shape[1], method)
    return out.astype(frame.dtype, copy=False).reshape((*frame.shape[:-2], *shape))


def along(
    between: Array, dtype: np.dtype[Any], computed: np.dtype[Any], columns: int, method: str
) -> Array:
    """Resample the rows of `between`, float64; rounded and cut as for `dtype`."""
    frames, rows, before = between.shape
    out = empty((frames, rows, columns), computed)
    first, weights = taps(before, columns, method)
    sizes = (np.int32(weights.shape[1]), np.int32(before), np.int32(columns))
    arguments = (between, out, first, weights, *sizes, *rounding(dtype))
    launch("resample.along", (blocks(columns), rows, frames), arguments, VALUE=computed)
    return out
