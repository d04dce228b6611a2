"""Smoothing that keeps edges, by distance and by value."""

from __future__ import annotations

from kernels.backend import Array, backend_of
from kernels.checks import LEAST_SCALE, check_finite, check_float32, check_frame
from kernels.errors import KernelInputError

_WIDEST = 20.0
_NARROWEST = 1e-3  # pixels: a neighbour's weight is zero already


def bilateral(frame: Array, /, *, sigma_space: float, sigma_value: float) -> Array:
    """Average each pixel with those that are near in place and in value (Tomasi, Manduchi 1998).

    `frame`: (rows, columns), any integer or float dtype; the same dtype and shape are returned,
    integers rounded half up. `sigma_space`: pixels, in (0, 20]; `sigma_value`: in the units of the
    values, above 0. The neighbourhood is the disc of radius round(1.5 * sigma_space), at least 1;
    edges are replicated (as OpenCV's bilateralFilter with BORDER_REPLICATE). Computed in float32.
    Raises KernelInputError for sigmas outside, NaN, infinity.
    """
    check_frame(frame)
    check_float32(frame)
    check_finite(sigma_space=sigma_space, sigma_value=sigma_value)
    if not 0 < sigma_space <= _WIDEST:
        raise KernelInputError(f"`sigma_space` must be in (0, 20] pixels, got {sigma_space}")
    if sigma_value <= 0:
        raise KernelInputError(f"`sigma_value` must be > 0, got {sigma_value}")
    radius = max(round(1.5 * sigma_space), 1)
    near, alike = max(sigma_space, _NARROWEST), max(sigma_value, LEAST_SCALE)
    result: Array = backend_of(frame).bilateral(frame, float(near), float(alike), radius)
    return result
