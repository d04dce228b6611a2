"""The bilateral filter on a GPU."""

from typing import Any

import numpy as np

from kernels._cupy.device import batched, blocks, empty, launch, native
from kernels.backend import Array


def bilateral(frame: Array, sigma_space: float, sigma_value: float, radius: int) -> Array:
    """Return the filtered frame, in its own dtype."""
    values = native(frame)
    frames, rows, columns = batched(values)
    out = empty(values.shape, values.dtype)
    near, alike = np.float64(0.5 / sigma_space**2), np.float32(1 / (sigma_value * 2**0.5))
    sizes = np.int32(rows), np.int32(columns), np.int32(radius)
    arguments = (values, out, *sizes, near, alike, *rounding(frame.dtype))
    launch("bilateral.filter", (blocks(columns), rows, frames), arguments, VALUE=values.dtype)
    return out.astype(frame.dtype, copy=False)


def rounding(dtype: np.dtype[Any]) -> tuple[np.int32, np.float64, np.float64]:
    """Return whether values are rounded to integers, and the least and the most of them."""
    if dtype.kind == "f":
        return np.int32(0), np.float64(0), np.float64(0)
    limits = np.iinfo(dtype)
    return np.int32(1), np.float64(limits.min), np.float64(limits.max)
