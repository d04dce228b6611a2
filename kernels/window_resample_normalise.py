"""Window, resample, normalise and cast in one pass over the frame."""

from __future__ import annotations

from kernels.backend import Array, backend_of
from kernels.checks import check_finite, check_frame
from kernels.errors import KernelInputError
from kernels.resample import check_grid
from kernels.window import check_window


def window_resample_normalise(
    frame: Array,
    /,
    *,
    center: float,
    width: float,
    shape: tuple[int, int],
    function: str = "LINEAR",
    method: str = "auto",
    spread: float = 3.0,
) -> Array:
    """Return `normalise(resample(window(frame)))` without the pictures in between.

    `frame`: (rows, columns), any integer or float dtype. The parameters are those of `window`,
    `resample` and `normalise`. The frame is read once; what mean and deviation need is kept on the
    small grid, in the cache. Returns uint8 of `shape`; a level may differ by 1 from that of the
    single operations, where sums in another order fall to the other side of a half. Raises
    KernelInputError as they do.
    """
    check_frame(frame)
    check_window(center, width, function)
    check_grid(shape, method)
    check_finite(spread=spread)
    if spread <= 0:
        raise KernelInputError(f"`spread` must be > 0, got {spread}")
    grid = int(shape[0]), int(shape[1])
    body = backend_of(frame).window_resample_normalise
    result: Array = body(frame, float(center), float(width), function, grid, method, float(spread))
    return result
