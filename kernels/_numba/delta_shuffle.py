"""The filter on the CPU: every loop along a row is vectorised but the first row's sum.

The pixel above, not the gradient or the median of three: its inverse has no chain along the row.
"""

import numpy as np

from kernels._numba.jit import compiled, native
from kernels.backend import Array

_U8, _U16 = np.uint8, np.uint16


def delta_shuffle(frame: Array) -> Array:
    """Return the nibble planes, uint8 (4, rows, half)."""
    rows, columns = frame.shape
    planes = np.empty((4, rows, (columns + 1) // 2), np.uint8)
    _shuffle(native(frame), planes)
    return planes


def undelta_shuffle(low: Array, high: Array, columns: int) -> Array:
    """Return the uint16 (rows, columns) frame."""
    frame = np.empty((low.shape[0], columns), np.uint16)
    _unshuffle(native(low), native(high), frame)
    return frame


@compiled
def _shuffle(frame: Array, planes: Array) -> None:
    rows, columns = frame.shape
    zigzag = np.zeros(2 * planes.shape[2], np.uint16)  # one row; the last may stay zero
    left = _U16(0)
    for x in range(columns):
        difference = np.int16(frame[0, x] - left)
        left = frame[0, x]
        zigzag[x] = _U16((difference << 1) ^ (difference >> 15))
    _split(zigzag, planes, 0)
    for y in range(1, rows):
        for x in range(columns):
            difference = np.int16(frame[y, x] - frame[y - 1, x])
            zigzag[x] = _U16((difference << 1) ^ (difference >> 15))
        _split(zigzag, planes, y)


@compiled
def _split(zigzag: Array, planes: Array, y: int) -> None:
    """Write the nibbles of one row of pairs."""
    low, high = _U16(0x0F), _U16(0xF0)
    for x in range(planes.shape[2]):
        a, b = zigzag[2 * x], zigzag[2 * x + 1]
        planes[0, y, x] = _U8((a & low) | ((b & low) << _U16(4)))
        planes[1, y, x] = _U8(((a >> _U16(4)) & low) | (b & high))
        planes[2, y, x] = _U8(((a >> _U16(8)) & low) | ((b >> _U16(4)) & high))
        planes[3, y, x] = _U8((a >> _U16(12)) | ((b >> _U16(8)) & high))


@compiled
def _unshuffle(low: Array, high: Array, frame: Array) -> None:
    rows, columns = frame.shape
    least = np.zeros(2 * low.shape[1], np.uint8)  # one row's low bytes, and its high ones
    most = np.zeros_like(least)
    least_pairs, most_pairs = least.view(np.uint16), most.view(np.uint16)
    used = high.shape[0]
    second, third, fourth = high[0], high[min(1, used - 1)], high[used - 1]
    every = _U16(0xFF)
    fourths = every if used == 3 else _U16(0)  # a plane that lacks is another, masked
    _join(low, second, every, 0, least_pairs)
    if used > 1:
        _join(third, fourth, fourths, 0, most_pairs)
    total = _U16(0)
    for x in range(columns):
        total = _U16(total + _difference(least[x], most[x]))
        frame[0, x] = total
    for y in range(1, rows):
        _join(low, second, every, y, least_pairs)
        if used > 1:
            _join(third, fourth, fourths, y, most_pairs)
        for x in range(columns):
            frame[y, x] = _U16(frame[y - 1, x] + _difference(least[x], most[x]))


@compiled
def _join(plane: Array, above: Array, mask: np.uint16, y: int, pairs: Array) -> None:
    """Write one row of bytes, two to a word, from two nibble planes, the upper one masked."""
    low, high = _U16(0x0F), _U16(0xF0)
    for x in range(pairs.size):
        a, b = _U16(plane[y, x]), _U16(above[y, x]) & mask
        pairs[x] = _U16(
            (a & low) | ((b & low) << _U16(4)) | ((a & high) << _U16(4)) | ((b & high) << _U16(8))
        )


@compiled
def _difference(least: np.uint8, most: np.uint8) -> np.uint16:
    """Undo the zigzag of one value."""
    zigzag = _U16(_U16(least) | (_U16(most) << _U16(8)))
    return _U16(_U16(zigzag >> _U16(1)) ^ _U16(-(zigzag & _U16(1))))
