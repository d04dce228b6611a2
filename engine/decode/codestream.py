"""What a codestream says of itself, read before a decoder sees it.

Sources: ISO/IEC 10918-1 annex B (JPEG), ISO/IEC 14495-1 annex C (JPEG-LS), ISO/IEC 15444-1 annex A
(JPEG 2000), PS3.5 annex G (RLE).
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from engine.errors import DecodeFailed
from engine.messages import FrameInfo

_SOF = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SOF_JPEG_LS = 0xF7
_ALONE = frozenset({0x01, *range(0xD0, 0xD9)})  # markers without a length
_J2K_START = b"\xff\x4f\xff\x51"
_END = b"\xff\xd9"  # EOI of JPEG and JPEG-LS, EOC of JPEG 2000


class Codestream(NamedTuple):
    """The size, depth and kind that a codestream declares.

    `frame_type` is JPEG's SOF marker; only JPEG 2000 can say `is_signed`.
    """

    rows: int
    columns: int
    samples: int
    precision: int
    frame_type: int = 0
    component_ids: bytes = b""
    is_jfif: bool = False
    is_signed: bool = False


def check_matches(found: Codestream, info: FrameInfo) -> None:
    """Raise `DecodeFailed` if the codestream disagrees with the header in size or depth.

    Its precision may be over BitsStored, as encoders that know no 12 bits write it, but not over
    BitsAllocated; and under BitsStored, as encoders that look at the values write it, but not by
    whole bytes.
    """
    if (found.rows, found.columns, found.samples) != (
        info.rows,
        info.columns,
        info.samples_per_pixel,
    ):
        raise DecodeFailed(
            f"the codestream is {found.rows} x {found.columns} x {found.samples}, the header says "
            f"{info.rows} x {info.columns} x {info.samples_per_pixel}"
        )
    too_few = (found.precision + 7) // 8 < (info.bits_stored + 7) // 8
    if too_few or found.precision > info.bits_allocated:
        raise DecodeFailed(
            f"the codestream has {found.precision} bits a sample, the header says BitsStored "
            f"{info.bits_stored} and BitsAllocated {info.bits_allocated}"
        )


def check_complete(value: bytes) -> None:
    """Raise `DecodeFailed` if the end marker is missing: decoders invent the rest in silence."""
    # One byte pads to an even length; encoders that pad more are found in the field.
    if _END not in value.rstrip(b"\x00")[-64:]:
        raise DecodeFailed("the codestream is cut off: its end marker is missing")


def read_jpeg(value: bytes) -> Codestream:
    """Read the frame header of a JPEG or JPEG-LS codestream."""
    if value[:2] != b"\xff\xd8":
        raise DecodeFailed("not a JPEG codestream: it does not begin with SOI")
    offset, is_jfif = 2, False
    while offset + 4 <= len(value):
        if value[offset] != 0xFF:
            raise DecodeFailed("a marker of the JPEG codestream is broken")
        marker = value[offset + 1]
        if marker == 0xFF or marker in _ALONE:
            offset += 1 if marker == 0xFF else 2
            continue
        (length,) = struct.unpack_from(">H", value, offset + 2)
        if marker in _SOF or marker == _SOF_JPEG_LS:
            return _frame_header(value, offset, marker, is_jfif)
        is_jfif |= 0xE0 <= marker <= 0xEF and value[offset + 4 : offset + 8] == b"JFIF"
        offset += 2 + max(2, length)
    raise DecodeFailed("the JPEG codestream has no frame header")


def next_segment(value: bytes, offset: int) -> tuple[int, bytes, int]:
    """Return the marker at `offset` or behind it, its segment, and where the next one begins."""
    while value[offset : offset + 1] == b"\xff" and offset + 4 <= len(value):
        marker = value[offset + 1]
        if marker == 0xFF or marker in _ALONE:
            offset += 1 if marker == 0xFF else 2
            continue
        (length,) = struct.unpack_from(">H", value, offset + 2)
        end = offset + 2 + length
        if marker == 0xD9 or length < 2 or end > len(value):
            break
        return marker, value[offset + 4 : end], end
    raise DecodeFailed("the JPEG codestream ends before all its components, or a marker is broken")


def _frame_header(value: bytes, offset: int, marker: int, is_jfif: bool) -> Codestream:
    end = offset + 10
    if end > len(value) or end + 3 * value[offset + 9] > len(value):
        raise DecodeFailed("the JPEG frame header is cut off")
    precision, rows, columns, samples = struct.unpack_from(">BHHB", value, offset + 4)
    ids = value[end : end + 3 * samples : 3]
    return Codestream(rows, columns, samples, precision, marker, ids, is_jfif)


def read_j2k(value: bytes) -> Codestream:
    """Read the size and depth (SIZ) of a JPEG 2000 codestream, bare or inside JP2 boxes."""
    try:
        _, _, x1, y1, x0, y0 = struct.unpack_from(">HH4I", value, _j2k_start(value) + 4)
        (samples,) = struct.unpack_from(">H", value, _j2k_start(value) + 40)
    except struct.error:
        raise DecodeFailed("the JPEG 2000 header is cut off") from None
    first = _j2k_start(value) + 42
    parts = value[first : first + 3 * samples]
    if not 1 <= samples <= 4 or len(parts) != 3 * samples:
        raise DecodeFailed(f"the JPEG 2000 codestream has {samples} components")
    if len(set(parts[0::3])) > 1 or set(parts[1::3] + parts[2::3]) != {1}:
        raise DecodeFailed("components of different depth or subsampled ones are not supported")
    depth, is_signed = (parts[0] & 0x7F) + 1, bool(parts[0] & 0x80)
    return Codestream(y1 - y0, x1 - x0, samples, depth, is_signed=is_signed)


def check_packets(value: bytes, found: Codestream) -> None:
    """Raise `DecodeFailed` where a JPEG 2000 codestream promises more packets than it has bytes.

    Every packet takes at least one byte (ISO/IEC 15444-1 B.10), and decoders walk through all that
    are promised (CVE-2023-39327).
    """
    start = _j2k_start(value)
    try:
        width, height = struct.unpack_from(">II", value, start + 24)
        style, layers, levels, sizes = _coding_style(value, start)
    except struct.error:
        raise DecodeFailed("the JPEG 2000 header is cut off") from None
    if min(width, height, layers) < 1 or levels > 32:
        raise DecodeFailed("the tiles or the coding style of the JPEG 2000 codestream are wrong")
    precincts = 0
    for resolution in range(levels + 1):
        size = sizes[resolution] if style & 1 else 0xFF
        across = (min(found.columns, width) >> (levels - resolution)) >> (size & 15)
        down = (min(found.rows, height) >> (levels - resolution)) >> (size >> 4)
        precincts += max(1, across) * max(1, down)
    tiles = max(1, found.columns // width) * max(1, found.rows // height)
    if tiles * layers * precincts * found.samples > len(value):
        raise DecodeFailed("the JPEG 2000 codestream promises more packets than it has bytes")


def _j2k_start(value: bytes) -> int:
    start = value.find(_J2K_START, 0, 4096)
    if start < 0:
        raise DecodeFailed("not a JPEG 2000 codestream: it does not begin with SOC and SIZ")
    return start


def _coding_style(value: bytes, start: int) -> tuple[int, int, int, bytes]:
    """Return Scod, the layers, the decomposition levels and the precinct sizes of COD (A.6.1)."""
    offset = start + 2
    while value[offset : offset + 2] not in (b"\xff\x52", b"\xff\x90", b""):
        (length,) = struct.unpack_from(">H", value, offset + 2)
        offset += 2 + length
    if value[offset : offset + 2] != b"\xff\x52":
        raise DecodeFailed("the JPEG 2000 codestream has no coding style (COD)")
    style, _, layers, _, levels = struct.unpack_from(">BBHBB", value, offset + 4)
    sizes = value[offset + 14 : offset + 15 + levels]
    if style & 1 and len(sizes) != levels + 1:
        raise DecodeFailed("the JPEG 2000 coding style is cut off")
    return style, layers, levels, sizes


def rle_segments(value: bytes, info: FrameInfo) -> list[tuple[int, int]]:
    """Return where each segment of an RLE frame begins and ends (PS3.5 G.3 to G.5).

    Raises `DecodeFailed` unless the header can be that of this frame.
    """
    if len(value) < 64:
        raise DecodeFailed("the RLE header is cut off")
    segments, *offsets = struct.unpack_from("<16L", value)
    if info.bits_allocated == 1:
        raise DecodeFailed("RLE of single bits is not supported")
    expected = info.samples_per_pixel * info.bits_allocated // 8
    if segments != expected:
        raise DecodeFailed(f"the RLE frame has {segments} segments, the header takes {expected}")
    if segments > 15:
        raise DecodeFailed(f"an RLE frame has at most 15 segments, this one would have {segments}")
    ends = [*offsets[1:segments], len(value)]
    pixels = info.rows * info.columns
    found = list(zip(offsets, ends, strict=False))
    for start, end in found:
        if not 64 <= start < end <= len(value):
            raise DecodeFailed("a segment of the RLE frame lies outside it")
        if (end - start) // 2 * 128 < pixels:  # two bytes repeat one value at most 128 times
            raise DecodeFailed("a segment of the RLE frame is too short for the frame")
    return found


def is_planar_jpeg_ls(value: bytes) -> bool:
    """Return whether the first scan of a JPEG-LS codestream is of one component (C.2.3, ILV 0)."""
    offset = 2
    while offset + 5 <= len(value):
        (length,) = struct.unpack_from(">H", value, offset + 2)
        if value[offset + 1] == 0xDA:
            return value[offset + 4] == 1
        offset += 2 + max(2, length)
    raise DecodeFailed("the JPEG-LS codestream has no scan")
