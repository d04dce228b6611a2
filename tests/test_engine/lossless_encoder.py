"""A JPEG lossless encoder for tests, for what the encoders at hand do not write.

ISO/IEC 10918-1 annex H, written for clarity: any predictor, point transform, restart intervals of
whole rows, components interleaved or each in a scan of its own, differences of 2**15.
"""

from __future__ import annotations

import struct

import numpy as np

# One code for each of the 17 categories, of 5 bits: 00000 to 10000.
_TABLE = bytes([0, 0, 0, 0, 17, *[0] * 11, *range(17)])


def encode_lossless(
    pixels: np.ndarray,
    *,
    bits: int,
    predictor: int = 1,
    point_transform: int = 0,
    restart_rows: int = 0,
    interleaved: bool = True,
) -> bytes:
    """Return the codestream of uint8 or uint16 (rows, columns) or (rows, columns, samples)."""
    values = np.atleast_3d(pixels).astype(np.int64) >> point_transform
    rows, columns, samples = values.shape
    parts = b"".join(struct.pack("BBB", channel + 1, 0x11, 0) for channel in range(samples))
    made = b"\xff\xd8" + _segment(0xC3, struct.pack(">BHHB", bits, rows, columns, samples) + parts)
    made += _segment(0xC4, b"\x00" + _TABLE)
    if restart_rows:
        made += _segment(0xDD, struct.pack(">H", restart_rows * columns))
    together = [range(samples)] if interleaved else [[channel] for channel in range(samples)]
    for channels in together:
        head = bytes([len(channels)]) + b"".join(bytes([one + 1, 0]) for one in channels)
        made += _segment(0xDA, head + bytes([predictor, 0, point_transform]))
        coded = _Scan(values[:, :, list(channels)], bits - point_transform, predictor)
        made += coded.entropy_coded(restart_rows or rows)
    return made + b"\xff\xd9"


def _segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


class _Scan:
    def __init__(self, values: np.ndarray, bits: int, predictor: int) -> None:
        self.values, self.bits, self.predictor = values, bits, predictor

    def entropy_coded(self, rows_an_interval: int) -> bytes:
        rows, made = len(self.values), b""
        for index, first in enumerate(range(0, rows, rows_an_interval)):
            made += bytes([0xFF, 0xD0 + (index - 1) % 8]) if index else b""
            last = min(rows, first + rows_an_interval)
            text = "".join(self._coded(row, row == first) for row in range(first, last))
            text += "1" * (-len(text) % 8)
            whole = int(text, 2).to_bytes(len(text) // 8, "big")
            made += whole.replace(b"\xff", b"\xff\x00")
        return made

    def _coded(self, row: int, is_first: bool) -> str:
        _, columns, samples = self.values.shape
        return "".join(
            self._difference(row, column, channel, is_first)
            for column in range(columns)
            for channel in range(samples)
        )

    def _difference(self, row: int, column: int, channel: int, is_first: bool) -> str:
        plane = self.values[:, :, channel]
        guess = self._predicted(plane, row, column, is_first)
        difference = (int(plane[row, column]) - guess + 2**15) % 2**16 - 2**15
        if difference == -(2**15):  # category 16 has no more bits
            return f"{16:05b}"
        size = abs(difference).bit_length()
        extra = difference if difference > 0 else difference + (1 << size) - 1
        return f"{size:05b}" + (f"{extra:0{size}b}" if size else "")

    def _predicted(self, plane: np.ndarray, row: int, column: int, is_first: bool) -> int:
        if is_first:
            return int(plane[row, column - 1]) if column else 1 << self.bits - 1
        if column == 0:
            return int(plane[row - 1, 0])
        left, above = int(plane[row, column - 1]), int(plane[row - 1, column])
        corner = int(plane[row - 1, column - 1])
        return (
            left,
            above,
            corner,
            left + above - corner,
            left + (above - corner >> 1),
            above + (left - corner >> 1),
            left + above >> 1,
        )[self.predictor - 1]
