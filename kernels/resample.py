"""A frame on another grid."""

from __future__ import annotations

from kernels.backend import Array, backend_of
from kernels.checks import check_frame, check_shape


def resample(frame: Array, /, *, shape: tuple[int, int]) -> Array:
    """Resample to `shape`, (rows, columns), over the same field of view.

    `frame`: (rows, columns), any integer or float dtype. Each axis by itself: the mean of the
    covered area where it shrinks to half or less, else linear between pixel centres, which lie at
    half pixels (as OpenCV's INTER_AREA and INTER_LINEAR). Edges are replicated. Returns the same
    dtype, integers rounded half up; for an unchanged shape the frame itself, not a copy. Raises
    KernelInputError for a shape without pixels, NaN, infinity.
    """
    check_frame(frame)
    check_shape(shape)
    if tuple(shape) == frame.shape:
        return frame
    result: Array = backend_of(frame).resample(frame, (int(shape[0]), int(shape[1])))
    return result
