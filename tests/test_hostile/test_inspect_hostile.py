"""`scanstream inspect` on hostile files: one clear line each, quickly, in little memory.

It forgives more than the gateway does (UIDs, geometry), but nothing that costs anybody anything.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dicom_objects import (
    DEFLATED,
    EXPLICIT,
    JPEG,
    JPEG_2000,
    RLE,
    TEST_FILES,
    build,
    encode,
    file_of,
    fragments,
)

from engine.cli.inspect import inspect
from engine.config import Settings

pytestmark = pytest.mark.usefixtures("quiet_libraries", "quick_and_small")

MIB = 1024 * 1024
HEAD = b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff"
ITEM = b"\xfe\xff\x00\xe0"
PART = b"\xff\xd8abcd"


def made(syntax: str = EXPLICIT, **changes: Any) -> bytes:
    return file_of(build(**changes), syntax)


def meta(syntax: str = EXPLICIT) -> bytes:
    """Return the preamble and the file meta information of a file in this transfer syntax."""
    whole = file_of(build())
    start = whole.index(b"\x08\x00\x16\x00")
    old, new = EXPLICIT.encode(), syntax.encode()
    old, new = old + b"\0" * (len(old) % 2), new + b"\0" * (len(new) % 2)
    return whole[:start].replace(
        b"\x10\0UI" + struct.pack("<H", len(old)) + old,
        b"\x10\0UI" + struct.pack("<H", len(new)) + new,
    )


def compressed(syntax: str, *parts: bytes, table: bytes = b"", **changes: Any) -> bytes:
    ds = build(**changes, PixelData=fragments(*parts, table=table, end=False))
    return meta(syntax) + encode(ds, syntax)


def bomb() -> bytes:
    deflater = zlib.compressobj(9, wbits=-15)
    zeros = bytes(MIB)
    return b"".join(deflater.compress(zeros) for _ in range(64)) + deflater.flush()


def siz(columns: int, rows: int) -> bytes:
    """Return the start of a JPEG 2000 codestream of one component of 8 bits."""
    body = struct.pack(">H8IH3B", 0, columns, rows, 0, 0, columns, rows, 0, 0, 1, 7, 1, 1)
    return b"\xff\x4f\xff\x51" + struct.pack(">H", len(body) + 2) + body + bytes(1)


HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "d2-deep": (lambda: meta() + (HEAD + ITEM + b"\xff" * 4) * 5000, "nested more than"),
    "d3-bomb": (lambda: meta(DEFLATED) + bomb(), "inflates to more than"),
    "d4-rle": (lambda: compressed(RLE, bytes(16), Rows=65535, Columns=65535), "max_frame_bytes"),
    "d4-j2k": (lambda: compressed(JPEG_2000, siz(9, 9), Rows=9000, Columns=9000), "can hold"),
    "d5-frames": (lambda: made(NumberOfFrames=2**31 - 1), "NumberOfFrames must be 1 to"),
    "d5-negative": (lambda: made(NumberOfFrames=-1), "NumberOfFrames must be 1 to"),
    "d5-rows": (lambda: made(Rows=0), "Rows and Columns must be 1 to 65535"),
    "d5-vr": (
        lambda: made().replace(b"\x28\x00\x10\x00US", b"\x28\x00\x10\x00DS"),
        "Rows has a wrong VR",
    ),
    "d7-cut": (lambda: made()[:-9], "PixelData is cut short"),
    "d7-4gib": (
        lambda: meta() + encode(build(PixelData=None)) + b"\xe0\x7f\x10\x00OW\0\0\xfe\xff\xff\xff"
        + bytes(100),
        "PixelData is cut short",
    ),
    "d8-7-bits": (lambda: made(BitsAllocated=7), "BitsAllocated must be"),
    "d8-12-bits": (lambda: made(BitsAllocated=12), "BitsAllocated must be"),
    "d8-stored": (lambda: made(BitsStored=17, HighBit=16), "BitsStored must be"),
    "d8-high": (lambda: made(HighBit=15), "HighBit must be"),
    "d9-no-table": (
        lambda: compressed(RLE, b"ab", b"ab", b"ab", NumberOfFrames=2), "does not divide into"
    ),
    "d9-outside": (
        lambda: compressed(JPEG, PART, PART, table=b"\0\0\0\0\xff\xff\xff\xff", NumberOfFrames=2),
        "does not point at its fragments",
    ),
    "d9-delimiter": (lambda: compressed(JPEG, PART)[:-8], "delimitation item is missing"),
    "d9-empty": (lambda: compressed(JPEG, PART, b""), "a fragment of length zero"),
    "d10-size": (lambda: compressed(JPEG_2000, siz(7, 4) + bytes(100)), "the codestream is 4 x 7"),
    "d12-length": (lambda: made()[:132] + b"\2\0\0\0UL\xff\xff" + made()[140:], "longer than"),
    "d12-syntax": (lambda: meta("1.2.840.10008.1.2.2") + encode(build()), "not encoded in its"),
    "d12-codec": (lambda: compressed(JPEG_2000, PART), "not encoded in the object's"),
    "d12-unknown": (lambda: meta("1.2.3.4") + encode(build()), "unknown or not accepted"),
    "d14-text": (lambda: b"a text file\n" * 50, "not a DICOM file"),
    "d14-empty": (lambda: b"", "not a DICOM file"),
    "d14-no-pixels": (lambda: (TEST_FILES / "rtplan.dcm").read_bytes(), "no pixels"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_inspect_says_what_is_wrong(name: str, tmp_path: Path) -> None:
    make, words = HOSTILE[name]
    path = tmp_path / "hostile.dcm"
    path.write_bytes(make())
    found = inspect(path, Settings())
    assert words in (found.error or "")
    assert not found.ok
    assert "\n" not in (found.error or "")


def test_a_file_over_the_limit_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "large.dcm"
    with path.open("wb") as file:
        file.truncate(2 * Settings().max_object_bytes)  # a hole: it takes no disk
    assert "max_object_bytes" in (inspect(path, Settings()).error or "")


def test_d6_and_d13_what_inspect_does_not_read_does_not_matter(tmp_path: Path) -> None:
    """Stored values are shown before any palette, rescale or geometry."""
    ds = build(PhotometricInterpretation="PALETTE COLOR", RescaleSlope=0, PixelSpacing=[0, 0])
    path = tmp_path / "palette.dcm"
    path.write_bytes(file_of(ds))
    assert inspect(path, Settings()).ok
