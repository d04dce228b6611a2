"""Values to grey by percentiles of the frame itself."""

from __future__ import annotations

from kernels.backend import Array, backend_of
from kernels.checks import check_bins, check_frame
from kernels.errors import KernelInputError


def percentile_window(frame: Array, /, *, low: float, high: float, bins: int = 4096) -> Array:
    """Stretch the values between two percentiles of the frame over all grey levels.

    `frame`: (rows, columns), any integer or float dtype. `low` and `high`: percent, the value at
    the nearest rank. Values outside are clipped. Returns uint16 in [0, bins - 1] of the same
    shape; all zero when both percentiles are the same value. Scanners choose the scale of their
    values freely: `frame` and `a * frame + b` (a > 0) give the same picture. Raises
    KernelInputError for percentages out of order, `bins` that uint16 cannot hold, NaN, infinity.
    """
    check_frame(frame)
    check_bins(bins)
    if not 0 <= low < high <= 100:
        raise KernelInputError(f"need 0 <= `low` < `high` <= 100, got {low} and {high}")
    last = frame.size - 1
    ranks = int(low / 100 * last + 0.5), int(high / 100 * last + 0.5)
    result: Array = backend_of(frame).percentile_window(frame, *ranks, bins)
    return result
