"""Golomb codes of limited length in the bytes of a JPEG-LS scan (ISO/IEC 14495-1 A.1, A.5.3)."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from engine.decode.bodies.compiling import compiled
from engine.decode.bodies.words import leading_zeros, load, swapped

Bytes = np.ndarray[Any, np.dtype[np.uint8]]

END = b"\xff\xd9" + bytes(16)  # what has to follow the data: a marker, and room to read ahead
ENOUGH = np.uint64(32)  # bits to hold before a sample: nearly all take fewer

_ONES = np.uint64(0x0101010101010101)
_TOPS = np.uint64(0x8080808080808080)


class Bits(NamedTuple):
    """Where reading stands: `held` bits lead `ahead`, of which the last `invented` are no data."""

    ahead: Any
    held: Any
    at: Any
    invented: Any


@compiled
def more(data: Bytes, bits: Any) -> Any:
    """Fill up to 56 bits and more; zeros are invented where the data have ended."""
    word = load(data, bits.at)
    if (~word - _ONES) & word & _TOPS == 0:  # no byte is 0xFF
        ahead = bits.ahead | (swapped(word) >> bits.held)
        taken = (np.uint64(63) - bits.held) >> np.uint64(3)
        return Bits(ahead, bits.held | np.uint64(56), bits.at + np.int64(taken), bits.invented)
    return _more_by_bytes(data, bits)


@compiled
def _more_by_bytes(data: Bytes, bits: Any) -> Any:
    """Fill up to 49 bits and more; a zero bit follows each byte 0xFF (annex A.1)."""
    ahead, held, at, invented = bits.ahead, bits.held, bits.at, bits.invented
    ahead &= ~(np.uint64(0xFFFFFFFFFFFFFFFF) >> held)  # what was read beyond is read again
    while held <= 48:
        byte, follows = np.uint64(data[at]), np.uint64(data[at + 1])
        if byte != 0xFF:
            ahead |= byte << (np.uint64(56) - held)
            held += np.uint64(8)
            at += 1
        elif follows < 0x80:
            ahead |= (np.uint64(0x7F80) | follows) << (np.uint64(49) - held)
            held += np.uint64(15)
            at += 2
        else:  # a marker
            held += np.uint64(8)
            invented += np.uint64(8)
    return Bits(ahead, held, at, invented)


@compiled
def code(data: Bytes, bits: Any, k: Any, limit: Any, qbpp: Any) -> Any:
    """Return the value of a Golomb code of limited length (A.5.3), and the bits behind it."""
    zeros = np.int64(leading_zeros(bits.ahead))
    if zeros + 1 + k > np.int64(bits.held) or zeros >= limit - qbpp - 1:
        return _long_code(data, bits, k, limit, qbpp)
    rest = bits.ahead << np.uint64(zeros + 1)
    low = np.int64((rest >> np.uint64(1)) >> np.uint64(63 - k))
    taken = np.uint64(zeros + 1 + k)
    bits = Bits(rest << np.uint64(k), bits.held - taken, bits.at, bits.invented)
    return (zeros << k) | low, bits


@compiled
def _long_code(data: Bytes, bits: Any, k: Any, limit: Any, qbpp: Any) -> Any:
    """Do the same bit by bit."""
    zeros, most = np.int64(0), limit - qbpp - 1
    bit, bits = read(data, bits, 1)
    while bit == 0 and zeros < most:
        zeros += 1
        bit, bits = read(data, bits, 1)
    if zeros >= most:
        value, bits = read(data, bits, qbpp)
        return value + 1, bits
    low, bits = read(data, bits, k)
    return (zeros << k) | low, bits


@compiled
def read(data: Bytes, bits: Any, count: Any) -> Any:
    """Return the next `count` bits, at most 32, as a number."""
    if bits.held < ENOUGH:
        bits = more(data, bits)
    value = np.int64((bits.ahead >> np.uint64(1)) >> np.uint64(63 - count))
    taken = np.uint64(count)
    return value, Bits(bits.ahead << taken, bits.held - taken, bits.at, bits.invented)
