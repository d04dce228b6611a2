"""The unsharp mask on a GPU."""

import numpy as np

from kernels._cupy.device import batched, blocks, constant, empty, launch, native, rounding
from kernels.backend import Array


def unsharp(frame: Array, sigma: float, amount: float) -> Array:
    """Return the sharpened frame, in its own dtype."""
    values = native(frame)
    frames, rows, columns = batched(values)
    between = empty((frames, rows, columns), np.float64)
    out = empty(values.shape, values.dtype)
    weights = constant(_weights, sigma)
    radius = np.int32(weights.size - 1)
    grid = blocks(columns), rows, frames
    sizes = (np.int32(rows), np.int32(columns))
    launch("unsharp.down", grid, (values, between, weights, radius, *sizes), VALUE=values.dtype)
    given = (radius, sizes[1], np.float64(amount), *rounding(frame.dtype))
    launch("unsharp.sharpen", grid, (values, between, out, weights, *given), VALUE=values.dtype)
    return out.astype(frame.dtype, copy=False)


def _weights(sigma: float) -> Array:
    """Return the Gaussian from its middle outwards, (radius + 1,); mirrored it sums to 1."""
    weights = np.exp(-0.5 * (np.arange(int(4 * sigma + 0.5) + 1) / sigma) ** 2)
    return np.asarray(weights / (2 * weights.sum() - weights[0]))
