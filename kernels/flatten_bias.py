"""The slow brightness of the coil taken out of the picture."""

from __future__ import annotations

from kernels.backend import Array, backend_of, on_host
from kernels.checks import check_finite, check_frame
from kernels.errors import KernelInputError


def flatten_bias(frame: Array, /, *, radius: int, background: float = 0.1) -> Array:
    """Divide by the bias field, the low-pass of the logarithm (homomorphic filtering).

    The homomorphic unsharp mask of Brinkmann, Manduca and Robb (1998), in the domain of the
    logarithm. The low-pass is a box of side 2 * `radius` + 1 applied three times, near a Gaussian
    of sigma = `radius`; what is at or below `background` times the mean of the frame has no voice
    in it, and far from all that has, the field is 1. The geometric mean of the field over the
    tissue is about 1: values keep their scale.

    `frame`: (rows, columns), any integer or float dtype, values >= 0. `radius`: pixels, 1 to 200.
    Returns float32 of the same shape. Raises KernelInputError for negative values, parameters
    outside, NaN, infinity.
    """
    check_frame(frame)
    check_finite(background=background)
    if on_host(frame) and frame.min() < 0:
        raise KernelInputError(f"values must be >= 0, got {frame.min()}")
    if not 1 <= radius <= 200:
        raise KernelInputError(f"`radius` must be in [1, 200] pixels, got {radius}")
    if background < 0:
        raise KernelInputError(f"`background` must be >= 0, got {background}")
    result: Array = backend_of(frame).flatten_bias(frame, int(radius), float(background))
    return result
