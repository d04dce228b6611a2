"""RLE as DICOM has it (PS3.5 annex G): PackBits segments, one for each byte of a value."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.decode.bodies.compiling import compiled
from engine.decode.bodies.words import load, store

Bytes = np.ndarray[Any, np.dtype[np.uint8]]

ROOM = 128 + 32  # what a run may read and write behind its beginning
BLOCK = 4096  # pixels at a time: all segments of a block stay in the first cache

_REPEAT = np.uint64(0x0101010101010101)


@compiled
def decode(data: Bytes, segments: Any, out: Bytes) -> int:
    """Unpack `segments` into `out`; return how many pixels came out.

    Fewer than the frame's mean that a segment ended early, more that its last run overshoots.
    `data` is the frame; `segments` (samples * width, 2) int64 are where each
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
            end, plane = segments[index, 1], planes[index]
            at[index], made = _unpack(data, at[index], end, plane, done[index], count)
            at[index], made = _unpack_bytes(data, at[index], end, plane, made, count)
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
    copied 32 bytes at a time, over their end: the next run writes over what was not meant. So it
    stops `ROOM` before the end of `data`.
    """
    last = min(end - 1, len(data) - ROOM)
    while done < count and at < last:
        code: Any = np.int64(data[at])
        if code < 128:
            length = code + 1
            if at + 1 + length > end:
                break
            for offset in range(0, length, 32):
                one, two = load(data, at + 1 + offset), load(data, at + 9 + offset)
                three, four = load(data, at + 17 + offset), load(data, at + 25 + offset)
                store(plane, done + offset, one)
                store(plane, done + offset + 8, two)
                store(plane, done + offset + 16, three)
                store(plane, done + offset + 24, four)
            at += 1 + length
            done += length
        elif code > 128:
            length = 257 - code
            word = np.uint64(data[at + 1]) * _REPEAT
            for offset in range(0, length, 32):
                store(plane, done + offset, word)
                store(plane, done + offset + 8, word)
                store(plane, done + offset + 16, word)
                store(plane, done + offset + 24, word)
            at += 2
            done += length
        else:  # no operation
            at += 1
    return at, done


@compiled
def _unpack_bytes(
    data: Bytes, at: int, end: int, plane: Bytes, done: int, count: int
) -> tuple[int, int]:
    """Do the same byte by byte, up to the end of `data`."""
    while done < count and at + 1 < end:
        code: Any = np.int64(data[at])
        length = code + 1 if code < 128 else 257 - code if code > 128 else 0
        taken = code + 2 if code < 128 else 2 if code > 128 else 1
        if at + taken > end:
            break
        for offset in range(length):
            plane[done + offset] = data[at + 1 + (offset if code < 128 else 0)]
        at += taken
        done += length
    return at, done


@compiled
def _interleave(planes: Bytes, out: Bytes) -> None:
    pixels, samples, width = out.shape
    flat, size = out.reshape(-1), samples * width
    if size == 2 and width == 2:  # the usual one, told to the compiler
        low, high = planes[1], planes[0]
        for pixel in range(pixels):
            flat[2 * pixel] = low[pixel]
            flat[2 * pixel + 1] = high[pixel]
        return
    for index in range(size):
        place = index // width * width + width - 1 - index % width
        for pixel in range(pixels):
            flat[pixel * size + place] = planes[index, pixel]
