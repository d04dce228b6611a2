"""The largest connected piece of a mask."""

from __future__ import annotations

import numpy as np

from kernels.backend import Array, backend_of
from kernels.checks import check_integers
from kernels.errors import KernelInputError


def largest_component(mask: Array, /) -> Array:
    """Keep the largest 8-connected component of the pixels above 0; all others become 0.

    `mask`: uint8 or bool, (rows, columns). Returns uint8 of the same shape with the labels as
    they were. Of equally large components the first in raster order is kept; all zero stays all
    zero. Raises KernelInputError for another dtype or shape.
    """
    if getattr(mask, "dtype", None) == np.bool_:
        mask = mask.view(np.uint8)
    check_integers(mask, "mask")
    if mask.dtype != np.uint8:
        raise KernelInputError(f"`mask` must be uint8 or bool, got {mask.dtype}")
    result: Array = backend_of(mask).largest_component(mask)
    return result
