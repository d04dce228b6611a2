"""The filter and its inverse, in the terms of their definition."""

import numpy as np

from kernels.backend import Array

_SHIFTS = np.arange(0, 16, 4, dtype=np.uint16).reshape(4, 1, 1)


def delta_shuffle(frame: Array) -> Array:
    """Return the nibble planes, uint8 (4, rows, half)."""
    rows, columns = frame.shape
    half = (columns + 1) // 2
    difference = frame.copy()
    difference[1:] -= frame[:-1]
    difference[0, 1:] -= frame[0, :-1]
    signed = difference.view(np.int16)
    zigzag = np.zeros((rows, 2 * half), np.uint16)
    zigzag[:, :columns] = ((signed << 1) ^ (signed >> 15)).view(np.uint16)
    nibbles = (zigzag >> _SHIFTS) & 15
    planes: Array = (nibbles[:, :, 0::2] | nibbles[:, :, 1::2] << 4).astype(np.uint8)
    return planes


def undelta_shuffle(low: Array, high: Array, columns: int) -> Array:
    """Return the uint16 (rows, columns) frame."""
    lacking = np.zeros((3 - len(high), *low.shape))
    planes = np.concatenate([low[None], high, lacking]).astype(np.uint16)
    zigzag = np.empty((low.shape[0], 2 * low.shape[1]), np.uint16)
    zigzag[:, 0::2] = ((planes & 15) << _SHIFTS).sum(0, dtype=np.uint16)
    zigzag[:, 1::2] = ((planes >> 4) << _SHIFTS).sum(0, dtype=np.uint16)
    zigzag = zigzag[:, :columns]
    frame = (zigzag >> 1) ^ (0 - (zigzag & 1))
    frame[0] = np.cumsum(frame[0], dtype=np.uint16)
    return np.cumsum(frame, axis=0, dtype=np.uint16)
