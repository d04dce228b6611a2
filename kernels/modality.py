"""Stored values to the units of the modality."""

from __future__ import annotations

from kernels.backend import Array, backend_of
from kernels.checks import check_finite, check_frame


def modality(frame: Array, /, *, slope: float, intercept: float) -> Array:
    """Apply the Modality LUT in its linear form, `slope * stored + intercept` (PS3.3 C.11.1.1.2).

    `frame`: (rows, columns), any integer or float dtype, stored values. `slope` and `intercept`:
    RescaleSlope (0028,1053) and RescaleIntercept (0028,1052). Returns float32 of the same shape,
    in the units of RescaleType (such as HU). Raises KernelInputError for a parameter or a value
    that is NaN or infinite.
    """
    check_frame(frame)
    check_finite(slope=slope, intercept=intercept)
    result: Array = backend_of(frame).modality(frame, float(slope), float(intercept))
    return result
