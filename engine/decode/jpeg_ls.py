"""JPEG-LS (ISO/IEC 14495-1): reads the headers, hands each scan to compiled code."""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from engine.decode.bodies.golomb import END
from engine.decode.bodies.jpeg_ls import Coding, decode
from engine.decode.codestream import Codestream, next_segment
from engine.errors import DecodeFailed

Array = np.ndarray[Any, np.dtype[Any]]
_LSE, _DRI, _SOS = 0xF8, 0xDD, 0xDA


class _Preset(NamedTuple):
    """The coding parameters of an LSE segment; 0 stands for the default (C.2.4.1.1)."""

    maxval: int = 0
    t1: int = 0
    t2: int = 0
    t3: int = 0
    reset: int = 0


def decode_jpeg_ls(value: bytes, found: Codestream) -> Array:
    """Return uint16 (rows, columns): the values as coded, of `found.precision` bits.

    One component only. Raises `DecodeFailed` where the codestream is damaged, or has what is not
    supported: mapping tables, restart intervals, a point transform.
    """
    data = np.frombuffer(value + END, np.uint8)
    out = np.empty((found.rows, found.columns), np.uint16)
    preset, offset = _Preset(), 2
    while True:
        marker, body, offset = next_segment(value, offset)
        if marker == _LSE:
            preset = _preset(body)
        elif marker == _DRI and any(body):
            raise DecodeFailed("restart intervals of JPEG-LS are not supported")
        elif marker == _SOS:
            break
    if len(body) != 6 or body[0] != 1 or body[2] or body[5]:
        raise DecodeFailed("the scan of the JPEG-LS codestream is not of one plain component")
    coding, gradients = _coding(found.precision, body[3], preset)
    made, _ = decode(data, offset, coding, gradients, out)
    if made != found.rows:
        raise DecodeFailed(f"the JPEG-LS codestream ends in row {made + 1} of {found.rows}")
    return out


def _preset(body: bytes) -> _Preset:
    if len(body) != 11 or body[0] != 1:
        raise DecodeFailed("mapping tables of JPEG-LS are not supported")
    return _Preset(*struct.unpack(">5H", body[1:]))


@lru_cache(maxsize=32)  # a series repeats its parameters
def _coding(precision: int, near: int, preset: _Preset) -> tuple[Coding, Array]:
    """Return what `decode` takes (A.2.1, A.3.3)."""
    maxval = preset.maxval or (1 << precision) - 1
    defaults = _thresholds(maxval, near)
    t1, t2, t3 = (given or usual for given, usual in zip(preset[1:4], defaults, strict=True))
    reset = preset.reset or 64
    fine = near <= min(255, maxval // 2) and near < t1 <= t2 <= t3 <= maxval
    if not fine or maxval >= 1 << precision or not 3 <= reset <= max(255, maxval):
        raise DecodeFailed("the coding parameters of the JPEG-LS codestream are wrong")
    values = (maxval + 2 * near) // (2 * near + 1) + 1
    bits = max(2, maxval.bit_length())
    limit = 2 * (bits + max(8, bits))
    size = np.arange(maxval + 1)
    region = np.searchsorted([near + 1, t1, t2, t3], size, side="right")
    gradients = np.concatenate([-region[:0:-1], region]).astype(np.int8)
    return Coding(maxval, near, reset, values, (values - 1).bit_length(), limit), gradients


def _thresholds(maxval: int, near: int) -> tuple[int, int, int]:
    """Return T1, T2 and T3 where none are given (C.2.4.1.1.1)."""

    def within(value: int, least: int) -> int:
        return least if value > maxval or value < least else value

    if maxval >= 128:
        factor = (min(maxval, 4095) + 128) >> 8
        t1 = within(factor + 2 + 3 * near, near + 1)
        t2 = within(4 * factor + 3 + 5 * near, t1)
        return t1, t2, within(17 * factor + 4 + 7 * near, t2)
    factor = 256 // (maxval + 1)
    t1 = within(max(2, 3 // factor + 3 * near), near + 1)
    t2 = within(max(3, 7 // factor + 5 * near), t1)
    return t1, t2, within(max(4, 21 // factor + 7 * near), t2)
