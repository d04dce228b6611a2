"""Values to grey by window centre and width."""

from __future__ import annotations

from kernels.backend import Array, backend_of
from kernels.checks import check_bins, check_finite, check_frame
from kernels.errors import KernelInputError

VOI_LUT_FUNCTIONS = ("LINEAR", "LINEAR_EXACT", "SIGMOID")


def window(
    frame: Array, /, *, center: float, width: float, function: str = "LINEAR", bins: int = 0
) -> Array:
    """Map values to grey with a VOI LUT function (PS3.3 C.11.2.1.2 and C.11.2.1.3).

    `frame`: (rows, columns), any integer or float dtype, in the units of `center` and `width`
    (WindowCenter (0028,1050), WindowWidth (0028,1051)). `function`: VOILUTFunction (0028,1056),
    LINEAR, LINEAR_EXACT or SIGMOID. `bins`: how many levels of grey. Returns float32 in [0, 1] of
    the same shape, or with `bins` uint16 in [0, bins - 1], rounded half up. Raises
    KernelInputError for another function, a `width` below 1 (LINEAR) or not above 0 (the others),
    `bins` that uint16 cannot hold, and anything that is NaN or infinite.
    """
    check_frame(frame)
    check_window(center, width, function)
    if bins:
        check_bins(bins)
    body = backend_of(frame).window
    result: Array = body(frame, float(center), float(width), function, bins)
    return result


def check_window(center: float, width: float, function: str) -> None:
    """Refuse what PS3.3 C.11.2.1.2 does not allow."""
    check_finite(center=center, width=width)
    if function not in VOI_LUT_FUNCTIONS:
        known = ", ".join(VOI_LUT_FUNCTIONS)
        raise KernelInputError(f"`function` must be one of {known}, got {function!r}")
    if function == "LINEAR" and width < 1:
        raise KernelInputError(f"`width` must be >= 1 for LINEAR, got {width}")
    if width <= 0:
        raise KernelInputError(f"`width` must be > 0, got {width}")
