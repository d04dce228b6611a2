"""The largest connected piece of a mask."""

from __future__ import annotations

from kernels.backend import Array, backend_of
from kernels.checks import check_mask


def largest_component(mask: Array, /) -> Array:
    """Keep the largest 8-connected component of the pixels above 0; all others become 0.

    `mask`: uint8 or bool, (rows, columns). Returns uint8 of the same shape with the labels as
    they were. Of equally large components the first in raster order is kept; all zero stays all
    zero. Raises KernelInputError for another dtype or shape.
    """
    mask = check_mask(mask)
    result: Array = backend_of(mask).largest_component(mask)
    return result
