"""Sharpening by an unsharp mask."""

from __future__ import annotations

from kernels.backend import Array, backend_of
from kernels.checks import check_finite, check_frame
from kernels.errors import KernelInputError


def unsharp(frame: Array, /, *, sigma: float, amount: float) -> Array:
    """Add `amount` times what a Gaussian blur of `sigma` pixels takes away.

    `frame`: (rows, columns), any integer or float dtype; the same dtype and shape are returned,
    integers rounded half up and clipped to their range. The Gaussian is cut at 4 sigma, edges are
    replicated (as scipy.ndimage.gaussian_filter, mode "nearest"). Raises KernelInputError when
    `sigma` is not in (0, 100], or anything is NaN or infinite.
    """
    check_frame(frame)
    check_finite(sigma=sigma, amount=amount)
    if not 0 < sigma <= 100:
        raise KernelInputError(f"`sigma` must be above 0 and at most 100 pixels, got {sigma}")
    result: Array = backend_of(frame).unsharp(frame, float(sigma), float(amount))
    return result
