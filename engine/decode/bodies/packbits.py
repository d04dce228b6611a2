"""RLE as DICOM has it (PS3.5 annex G): PackBits segments, one for each byte of a value."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.decode.bodies.compiling import compiled
from engine.decode.bodies.words import PADDING, load, store

Bytes = np.ndarray[Any, np.dtype[np.uint8]]

ROOM = 128 + PADDING  # what a run may read or write behind its end
BLOCK = 8192  # pixels at a time: all segments of a block stay in the first cache

_REPEAT = np.uint64(0x0101010101010101)


@compiled
def decode(data: Bytes, segments: Any, out: Bytes) -> int:
    """Unpack `segments` into `out`; return how many pixels came out.

    Fewer than the frame's mean that a segment ended early, more that its last run overshoots.
    `data` is the frame and `ROOM` bytes more; `segments` (samples * width, 2) int64 are where each
    begins and ends in it, checked by the caller; `out` is (pixels, samples, width), little-endian,
    while segments hold the highest byte first (PS3.5 G.2).
    """
    pixels = len(out)
    planes = np.empty((len(segments), BLOCK + ROOM), np.uint8)
    done = np.zeros(len(segments), np.int64)  # unpacked already, at the plane's beginning
    at = segments[:, 0].copy()
    for first in range(0, pixels, BLOCK):
        count = min(BLOCK, pixels - first)
        for index in range(len(segments)):
            at[index], made = _unpack(
                data, at[index], segments[index, 1], planes[index], done[index], count
            )
            if made < count:
                return int(first + made)
            done[index] = made - count
        _interleave(planes, out[first : first + count])
        for index in range(len(segments)):
            for rest in range(done[index]):
                planes[index, rest] = planes[index, count + rest]
    return int(pixels + done.max())


@compiled
def _unpack(data: Bytes, at: int, end: int, plane: Bytes, done: int, count: int) -> tuple[int, int]:
    """Unpack from `data[at:end]` behind `plane[:done]` until there are `count` bytes (G.3.2).

    Returns where it stopped, and how many bytes there are: up to 127 more than `count`. Runs are
    copied 16 bytes at a time, over their end: the next run writes over what was not meant.
    """
    while done < count and at + 1 < end:
        code: Any = np.int64(data[at])
        if code < 128:
            length = code + 1
            if at + 1 + length > end:
                break
            for offset in range(0, length, 16):
                low, high = load(data, at + 1 + offset), load(data, at + 9 + offset)
                store(plane, done + offset, low)
                store(plane, done + offset + 8, high)
            at += 1 + length
            done += length
        elif code > 128:
            length = 257 - code
            word = np.uint64(data[at + 1]) * _REPEAT
            for offset in range(0, length, 16):
                store(plane, done + offset, word)
                store(plane, done + offset + 8, word)
            at += 2
            done += length
        else:  # no operation
            at += 1
    return at, done


@compiled
def _interleave(planes: Bytes, out: Bytes) -> None:
    pixels, samples, width = out.shape
    if samples == 1 and width == 2:
        for pixel in range(pixels):
            out[pixel, 0, 0] = planes[1, pixel]
            out[pixel, 0, 1] = planes[0, pixel]
        return
    for sample in range(samples):
        for byte in range(width):
            for pixel in range(pixels):
                out[pixel, sample, byte] = planes[(sample + 1) * width - 1 - byte, pixel]
