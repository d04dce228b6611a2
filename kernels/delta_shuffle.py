"""The wire codec's filter: 16-bit pixels to differences, their nibbles sorted by weight."""

from __future__ import annotations

from kernels.backend import Array, backend_of, on_host
from kernels.errors import KernelInputError

NIBBLES = 4


def delta_shuffle(frame: Array, /) -> Array:
    """Return the four nibble planes of the differences from the pixel above.

    `frame`: (rows, columns) uint16, not empty; signed pixels are viewed as unsigned. Returned:
    uint8 (4, rows, (columns + 1) // 2), C-ordered, the lowest nibbles first, two neighbours to a
    byte, the left one in the low half; an odd row ends with a zero.

    The first row is predicted from the pixel to the left, the first pixel is 0. Differences are
    modulo 2**16 and zigzag coded (0, -1, 1, -2 ... become 0, 1, 2, 3 ...), so that the high planes
    of a smooth picture are nearly all zeros and the lowest holds its noise. Nothing is lost.
    Raises KernelInputError for any other array. CPU only: frames are packed where they arrive.
    """
    if getattr(frame, "dtype", None) != "=u2":
        raise KernelInputError("`frame` must be uint16 in this machine's byte order")
    if not on_host(frame):
        raise KernelInputError("`frame` must be a NumPy array: frames are packed on the CPU")
    if frame.ndim != 2 or frame.size == 0:
        raise KernelInputError(f"`frame` must be (rows, columns), not empty, got {frame.shape}")
    planes: Array = backend_of(frame).delta_shuffle(frame)
    return planes


def undelta_shuffle(low: Array, high: Array, /, *, columns: int) -> Array:
    """Return the uint16 (rows, `columns`) frame whose `delta_shuffle` gave the planes.

    `low`: uint8 (rows, half), the first plane; `high`: uint8 (1 to 3, rows, half), the others,
    apart because they may come from two buffers; those that lack are zeros; half is
    (`columns` + 1) // 2. Every value of the planes is a frame: there is nothing to refuse in them.
    Raises KernelInputError for another dtype or shape.
    """
    if getattr(low, "dtype", None) != "u1" or getattr(high, "dtype", None) != "u1":
        raise KernelInputError("`low` and `high` must be uint8")
    if low.ndim != 2 or low.size == 0 or low.shape[1] != (columns + 1) // 2:
        raise KernelInputError(f"`low` must be (rows, {(columns + 1) // 2}), got {low.shape}")
    if high.shape[1:] != low.shape or not 1 <= len(high) < NIBBLES:
        raise KernelInputError(f"`high` must be (1 to 3, *{low.shape}), got {high.shape}")
    frame: Array = backend_of(low).undelta_shuffle(low, high, columns)
    return frame
