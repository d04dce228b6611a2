"""The entropy-coded bytes of a JPEG scan, made plain: no stuffing, no restart markers."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.decode.bodies.compiling import compiled
from engine.decode.bodies.words import load, store

Bytes = np.ndarray[Any, np.dtype[np.uint8]]
Offsets = np.ndarray[Any, np.dtype[np.int64]]

_ONES = np.uint64(0x0101010101010101)
_TOPS = np.uint64(0x8080808080808080)
_END = np.uint8(0xD9)


@compiled
def unstuff(data: Bytes, start: int, plain: Bytes, bounds: Offsets) -> tuple[int, int]:
    """Copy the scan that begins at `data[start]` to `plain`; return its end and its intervals.

    A zero byte after 0xFF is left out (ISO/IEC 10918-1 F.1.2.3), and so are the markers RST, where
    the next interval begins: interval i is `plain[bounds[i]:bounds[i + 1]]`. The scan ends at any
    other marker or where `data` does. There may be -1 intervals: more than `bounds` has room for.
    `plain` has at least the bytes that `data` has behind `start`.
    """
    at, made, intervals = start, 0, 0
    bounds[0] = 0
    while at < len(data):
        if at + 8 <= len(data):
            word = load(data, at)
            if (~word - _ONES) & word & _TOPS == 0:  # no byte is 0xFF
                store(plain, made, word)
                at += 8
                made += 8
                continue
        if data[at] != 0xFF:
            plain[made] = data[at]
            at += 1
            made += 1
            continue
        at = _behind_fill(data, at)
        marker = data[at] if at < len(data) else _END
        if marker != 0 and not 0xD0 <= marker <= 0xD7:
            bounds[intervals + 1] = made
            return at - 1, intervals + 1
        at += 1
        if marker == 0:
            plain[made] = 0xFF
            made += 1
        elif intervals + 2 < len(bounds):
            intervals += 1
            bounds[intervals] = made
        else:
            return at, -1
    bounds[intervals + 1] = made
    return at, intervals + 1


@compiled
def _behind_fill(data: Bytes, at: int) -> int:
    """Return where the bytes 0xFF that begin at `at` end (B.1.1.2)."""
    while at < len(data) and data[at] == 0xFF:
        at += 1
    return at
