"""JPEG lossless (ISO/IEC 10918-1 annex H): reads the headers, hands each scan to compiled code."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from engine.decode.bodies.entropy import unstuff
from engine.decode.bodies.jpeg_lossless import HALF, LOOKUP_BITS, decode
from engine.decode.codestream import Codestream, next_segment
from engine.errors import DecodeFailed

Array = np.ndarray[Any, np.dtype[Any]]
_DHT, _SOF3, _SOS, _DRI = 0xC4, 0xC3, 0xDA, 0xDD


class _Scan(NamedTuple):
    """A scan header (B.2.3): `tables` are those of its components, in order from `channel` on."""

    channel: int
    tables: tuple[bytes, ...]
    predictor: int
    point_transform: int
    restart_interval: int


def decode_jpeg_lossless(value: bytes, found: Codestream) -> Array:
    """Return uint16 (rows, columns, samples): the values as coded, of `found.precision` bits.

    Raises `DecodeFailed` where the codestream is damaged, or not of the lossless Huffman process.
    `found` is what `vetted` read: its size has been checked.
    """
    data = np.frombuffer(value, np.uint8)
    out = np.empty((found.rows, found.columns, found.samples), np.uint16)
    tables: dict[int, bytes] = {}
    offset, interval, done = 2, 0, 0
    while done < found.samples:
        marker, body, offset = next_segment(value, offset)
        if marker == _DHT:
            tables.update(_tables(body))
        elif marker == _DRI:
            interval = _number(body)
        elif marker == _SOF3 and set(body[7::3]) != {0x11} and found.samples > 1:
            raise DecodeFailed("subsampled JPEG lossless is not supported")
        elif marker == _SOS:
            scan = _scan(body, done, found, tables, interval)
            offset = _decode_scan(data, offset, scan, found, out)
            done += len(scan.tables)
    return out


def _number(body: bytes) -> int:
    if len(body) != 2:
        raise DecodeFailed("a marker segment of the JPEG codestream has a wrong length")
    return int.from_bytes(body, "big")


def _tables(body: bytes) -> dict[int, bytes]:
    """Return Huffman tables by their destination, each its 16 counts and its symbols (B.2.4.2)."""
    found = {}
    while body:
        length = 17 + sum(body[1:17])
        if len(body) < length:
            raise DecodeFailed("a Huffman table of the JPEG codestream is cut off")
        found[body[0]] = body[1:length]
        body = body[length:]
    return found


def _scan(
    body: bytes, done: int, found: Codestream, tables: dict[int, bytes], interval: int
) -> _Scan:
    count = body[0] if body else 0
    ids = body[1 : 1 + 2 * count : 2]
    if len(body) != 4 + 2 * count or ids != found.component_ids[done : done + count] or not ids:
        raise DecodeFailed("a scan of the JPEG codestream is not of the components that are next")
    chosen = [tables.get(selector >> 4) for selector in body[2 : 2 + 2 * count : 2]]
    predictor, point_transform = body[-3], body[-1] & 15
    if None in chosen or not 1 <= predictor <= 7 or point_transform >= found.precision:
        raise DecodeFailed("a scan of the JPEG codestream has no Huffman table, or no predictor")
    if interval % found.columns:  # H.1.1
        raise DecodeFailed("a restart interval of the JPEG codestream is no whole number of rows")
    known = tuple(table for table in chosen if table is not None)
    return _Scan(done, known, predictor, point_transform, interval)


def _decode_scan(data: Array, start: int, scan: _Scan, found: Codestream, out: Array) -> int:
    """Decode one scan into its channels of `out`; return where the marker behind it is."""
    rows_an_interval = scan.restart_interval // found.columns or found.rows
    expected = -(-found.rows // rows_an_interval)
    room = 4 * found.columns * len(scan.tables) + 8  # the most that one row can read
    plain = np.empty(len(data) - start + room, np.uint8)
    bounds = np.empty(expected + 2, np.int64)
    end, intervals = unstuff(data, start, plain, bounds)
    if intervals != expected:
        raise DecodeFailed(f"a scan of the JPEG codestream has not {expected} restart intervals")
    codes = [_codes(table) for table in scan.tables]
    first = 1 << found.precision - scan.point_transform - 1
    made = decode(
        plain,
        bounds,
        np.stack([long for long, _ in codes]),
        np.stack([short for _, short in codes]),
        scan.predictor,
        first,
        rows_an_interval,
        out,
        scan.channel,
    )
    if made != found.rows:
        raise DecodeFailed(f"the JPEG codestream is damaged in row {made + 1} of {found.rows}")
    if scan.point_transform:
        part = out[:, :, scan.channel : scan.channel + len(scan.tables)]
        np.left_shift(part, scan.point_transform, out=part)
    return end


@lru_cache(maxsize=32)  # a series repeats its tables
def _codes(table: bytes) -> tuple[Array, Array]:
    """Return the lookup tables that `decode` takes, of 16 and of `LOOKUP_BITS` bits (annex C)."""
    codes, at, symbols = np.zeros(1 << 16, np.uint16), 0, iter(table[16:])
    for length, count in enumerate(table[:16], start=1):
        for symbol in (next(symbols) for _ in range(count)):
            end = at + (1 << 16 - length)
            if symbol > 16 or end > len(codes):
                raise DecodeFailed("a Huffman table of the JPEG codestream is wrong")
            half, extra = (0, symbol) if symbol < 16 else (HALF, 0)  # H.1.2.2
            codes[at:end] = half | length << 8 | length + extra
            at = end
    short = codes[:: 1 << 16 - LOOKUP_BITS].copy()
    short[(short >> 8 & 31) > LOOKUP_BITS] = 0
    return codes, short
