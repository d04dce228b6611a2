"""Smoothing by pixels whose surroundings look alike."""

from __future__ import annotations

from kernels.backend import Array, backend_of
from kernels.checks import LEAST_SCALE, check_finite, check_float32, check_frame
from kernels.errors import KernelInputError


def nlm(frame: Array, /, *, strength: float, patch: int = 3, search: int = 10) -> Array:
    """Average each pixel with those whose patch looks alike: non-local means (Buades 2005).

    `frame`: (rows, columns), any integer or float dtype; the same dtype and shape are returned,
    integers rounded half up. The weight of a pixel is exp(-d / strength**2), d the mean of the
    squared differences of the two patches; `strength` is in the units of the values, above 0.
    `patch`, 0 to 7, and `search`, 1 to 20, are radii in pixels: patches of (2 * patch + 1)**2 out
    of a square of (2 * search + 1)**2; edges are replicated. Inside, the values are those of
    OpenCV's fastNlMeansDenoising with h = strength, which rounds more. Computed in float32.
    Raises KernelInputError for parameters outside, NaN, infinity.
    """
    check_frame(frame)
    check_float32(frame)
    check_finite(strength=strength)
    if strength <= 0:
        raise KernelInputError(f"`strength` must be > 0, got {strength}")
    if not (0 <= patch <= 7 and 1 <= search <= 20):
        raise KernelInputError(
            f"`patch` must be in [0, 7] and `search` in [1, 20], got {patch} and {search}"
        )
    scale = max(float(strength), LEAST_SCALE)
    result: Array = backend_of(frame).nlm(frame, scale, int(patch), int(search))
    return result
