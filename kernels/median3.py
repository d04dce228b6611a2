"""The median of the neighbourhood."""

from __future__ import annotations

from kernels.backend import Array, backend_of
from kernels.checks import check_frame


def median3(frame: Array, /) -> Array:
    """Replace each pixel by the median of the 3 x 3 pixels around it; edges are replicated.

    `frame`: (rows, columns), any integer or float dtype; the same dtype and shape are returned.
    Raises KernelInputError for NaN and infinity, which have no order to rank by.
    """
    check_frame(frame)
    result: Array = backend_of(frame).median3(frame)
    return result
