"""The lossless process of JPEG (ISO/IEC 10918-1 annex H): Huffman codes of differences."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.decode.bodies.compiling import compiled
from engine.decode.bodies.words import load, swapped

Bytes = np.ndarray[Any, np.dtype[np.uint8]]
Codes = np.ndarray[Any, np.dtype[np.uint16]]
Values = np.ndarray[Any, np.dtype[np.uint16]]

LOOKUP_BITS = 10  # what most codes fit: their table stays in the first cache
HALF = 0x8000  # flags a code, and is the difference that it stands for, without more bits

MOST = np.uint64(32)  # bits of a sample: 16 of its code, 16 of its difference
_SIXTY_THREE = np.uint64(63)
_ONE = np.uint64(1)


@compiled
def decode(
    plain: Bytes,
    bounds: Any,
    codes: Codes,
    short: Codes,
    predictor: int,
    first: int,
    rows_an_interval: int,
    out: Values,
    channel: int,
) -> int:
    """Decode one scan into `out[:, :, channel:]`; return how many rows came out whole.

    `plain` and `bounds` are what `unstuff` made, with 4 bytes of room behind for each sample of a
    row, and 8 more. `codes` (components, 65536) gives for the next 16 bits the length of the code
    and of what follows it (low byte), that of the code alone (5 bits), and `HALF`; 0 for no code.
    `short` is the same for `LOOKUP_BITS` bits, 0 for longer ones. `first` predicts the first
    sample. `out` is (rows, columns, samples).
    """
    components = len(codes)
    rows, columns, _ = out.shape
    differences = np.empty(columns * components, np.int32)
    position: Any = 0
    for row in range(rows):
        interval, inside = row // rows_an_interval, row % rows_an_interval
        if inside == 0:
            position = bounds[interval] * 8
        position = _row(plain, position, codes, short, differences)
        if position < 0 or position > bounds[interval + 1] * 8:
            return row
        for component in range(components):
            part = differences[component::components]
            if inside == 0:
                _undo_first(part, first, out[row, :, channel + component])
            else:
                above = out[row - 1, :, channel + component]
                _undo(part, predictor, above, out[row, :, channel + component])
    return int(rows)


@compiled
def _row(plain: Bytes, position: int, codes: Codes, short: Codes, differences: Any) -> Any:
    """Read one row of differences from bit `position` on (H.1.2.2); return the bit behind it.

    A sample takes 32 bits at most. Returns -1 if there was a code that the table does not know.
    """
    components = len(codes)
    at: Any = position >> 3
    known = True
    ahead = swapped(load(plain, at)) << np.uint64(position & 7)  # the next bits lead
    held = np.uint64(56 - (position & 7))  # how many of them are read already
    at += 7
    for index in range(0, len(differences), components):
        for component in range(components):
            if held < MOST:
                ahead |= swapped(load(plain, at)) >> held
                at += np.int64((_SIXTY_THREE - held) >> np.uint64(3))
                held |= np.uint64(56)
            entry = np.uint64(short[component, ahead >> np.uint64(64 - LOOKUP_BITS)])
            if entry == 0:
                entry = np.uint64(codes[component, ahead >> np.uint64(48)])
                known &= entry != 0
            total, length = entry & np.uint64(0xFF), (entry >> np.uint64(8)) & np.uint64(31)
            value = _extended(ahead << length, total - length)
            differences[index + component] = value + np.int64(entry & np.uint64(HALF))
            ahead <<= total
            held -= total
    return at * 8 - np.int64(held) if known else -1


@compiled
def _extended(word: Any, size: Any) -> Any:
    """Return the difference whose `size` bits lead `word` (F.2.2.1, EXTEND)."""
    value = np.int64((word >> _ONE) >> (_SIXTY_THREE - size))
    is_negative = np.int64(word >> _SIXTY_THREE) ^ 1
    return value - is_negative * ((1 << np.int64(size)) - 1)


@compiled
def _undo_first(differences: Any, first: int, out: Any) -> None:
    """Predict from the left; `first` stands left of the row (H.1.1, table H.1)."""
    left = first
    for column in range(len(out)):
        left = (left + differences[column]) & 0xFFFF
        out[column] = left


@compiled
def _undo(differences: Any, predictor: int, above: Any, out: Any) -> None:
    """Predict each sample by its neighbours, modulo 2**16 (H.1.2.1, table H.1)."""
    left = (np.int64(above[0]) + differences[0]) & 0xFFFF
    out[0] = left
    for column in range(1, len(out)):
        up, corner = np.int64(above[column]), np.int64(above[column - 1])
        if predictor == 1:
            guess = left
        elif predictor == 2:
            guess = up
        elif predictor == 3:
            guess = corner
        elif predictor == 4:
            guess = left + up - corner
        elif predictor == 5:
            guess = left + ((up - corner) >> 1)
        elif predictor == 6:
            guess = up + ((left - corner) >> 1)
        else:
            guess = (left + up) >> 1
        left = (guess + differences[column]) & 0xFFFF
        out[column] = left
