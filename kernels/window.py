"""Values to grey by window centre and width."""

from __future__ import annotations

from kernels.backend import Array, backend_of
from kernels.checks import check_finite, check_frame
from kernels.errors import KernelInputError


def window(frame: Array, /, *, center: float, width: float) -> Array:
    """Map values to [0, 1] with the LINEAR VOI LUT function (PS3.3 C.11.2.1.2.1).

    `frame`: (rows, columns), any integer or float dtype, in the units of `center` and `width`
    (WindowCenter (0028,1050), WindowWidth (0028,1051)). Returns float32 of the same shape.
    Raises KernelInputError when `width` is below 1, or anything is NaN or infinite.
    """
    check_frame(frame)
    check_finite(center=center, width=width)
    if width < 1:
        raise KernelInputError(f"`width` must be >= 1, got {width}")
    result: Array = backend_of(frame).window(frame, float(center), float(width))
    return result
