"""A mask without its holes."""

from __future__ import annotations

from kernels.backend import Array, backend_of
from kernels.checks import check_mask


def fill_holes(mask: Array, /) -> Array:
    """Set the background that no 4-connected path joins to the edge of the frame.

    `mask`: uint8 or bool, (rows, columns), inside where above 0. Returns uint8 of the same shape, 1
    inside and 0 outside: scipy.ndimage.binary_fill_holes with its own structure. Raises
    KernelInputError for another dtype or shape.
    """
    mask = check_mask(mask)
    result: Array = backend_of(mask).fill_holes(mask)
    return result
