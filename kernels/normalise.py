"""Grey values to what a network takes."""

from __future__ import annotations

from kernels.backend import Array, backend_of
from kernels.checks import check_finite, check_frame
from kernels.errors import KernelInputError


def normalise(frame: Array, /, *, spread: float = 3.0) -> Array:
    """Map mean - spread * std .. mean + spread * std of the frame to 0 .. 255.

    `frame`: (rows, columns), any integer or float dtype. `std` is that of the population. Returns
    uint8 of the same shape, rounded half up and clipped; 128 everywhere for a constant frame.
    Raises KernelInputError when `spread` is not above 0, or anything is NaN or infinite.
    """
    check_frame(frame)
    check_finite(spread=spread)
    if spread <= 0:
        raise KernelInputError(f"`spread` must be > 0, got {spread}")
    result: Array = backend_of(frame).normalise(frame, float(spread))
    return result
