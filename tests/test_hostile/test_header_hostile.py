"""Hostile attributes and frames at the gateway: refused quickly, quietly, in little memory.

Named by the rows of the project's list of hostile inputs (D1, N1, ...).
"""

from __future__ import annotations

import struct

import pytest
from dicom_objects import (
    EXPLICIT,
    JPEG,
    JPEG_2000,
    MR,
    RLE,
    build,
    encode,
    fragments,
    spoil,
)
from hostile_objects import refused

from engine.ingest.validate import read_instance

pytestmark = pytest.mark.usefixtures("quiet_libraries", "quick_and_small")


@pytest.mark.parametrize(
    ("syntax", "frame"), [(RLE, bytes(16)), (JPEG_2000, b"\xff\x4f\xff\x51" + bytes(12))]
)
def test_d4_claimed_size(syntax: str, frame: bytes) -> None:
    ds = build(Rows=65535, Columns=65535, PixelData=fragments(frame))
    refused(encode(ds, syntax), syntax, match="max_frame_bytes", status=0xA700)
    ds = build(Rows=8000, Columns=8000, PixelData=fragments(frame))
    refused(encode(ds, syntax), syntax, match="than the encoded frame can hold")


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("NumberOfFrames", 2**31 - 1),
        ("NumberOfFrames", -1),
        ("NumberOfFrames", 0),
        ("Rows", 0),
        ("Columns", 0),
        ("SamplesPerPixel", 0),
        ("SamplesPerPixel", 4),
    ],
)
def test_d5_numbers_that_cannot_be(keyword: str, value: int) -> None:
    refused(encode(build(**{keyword: value})), match=keyword)
    ds = build(**{keyword: value, "PixelData": fragments(b"\xff\xd8ab")})
    refused(encode(ds, JPEG), JPEG, match=keyword)


@pytest.mark.parametrize("frames", [2, 2**31 - 2])
def test_d5_more_frames_than_bytes(frames: int) -> None:
    refused(encode(build(NumberOfFrames=frames)), match="NumberOfFrames|shorter")
    ds = build(NumberOfFrames=frames, PixelData=fragments(b"\xff\xd8ab"))
    refused(encode(ds, JPEG), JPEG, match="NumberOfFrames|fewer fragments")


@pytest.mark.parametrize("vr", [b"DS", b"OB", b"SS", b"SQ", b"zz", b"\0\0"])
def test_d5_wrong_vr(vr: bytes) -> None:
    data = encode(build())
    refused(spoil(data, b"\x28\x00\x10\x00US", b"\x28\x00\x10\x00" + vr))


def test_d5_wrong_number_of_values() -> None:
    refused(encode(build(Rows=[4, 4])), match="Rows is not one whole number")
    odd = spoil(
        encode(build()), b"\x28\x00\x10\x00US\x02\x00\x04\x00", b"\x28\x00\x10\x00US\x00\x00"
    )
    refused(odd, match="Rows is missing")


def test_d7_truncated_pixels() -> None:
    data = encode(build())
    for cut in (1, 10, 47):
        refused(data[:-cut], match="cut short")
    refused(encode(build(PixelData=bytes(46))), match="shorter")
    huge = spoil(data, b"OW\0\0" + struct.pack("<L", 48), b"OW\0\0" + struct.pack("<L", 2**32 - 2))
    refused(huge, match="cut short")
    odd = spoil(data, b"OW\0\0" + struct.pack("<L", 48), b"OW\0\0" + struct.pack("<L", 47))
    refused(odd, match="odd length")


@pytest.mark.parametrize(
    "bits",
    [
        {"BitsAllocated": 7},
        {"BitsAllocated": 12},
        {"BitsAllocated": 64},
        {"BitsStored": 17, "HighBit": 16},
        {"BitsStored": 0, "HighBit": 0},
        {"HighBit": 15},
        {"PixelRepresentation": 2},
        {"PlanarConfiguration": 2},
    ],
)
def test_d8_bits(bits: dict[str, int]) -> None:
    refused(encode(build(PixelData=bytes(400), **bits)), match=r"Bit|PixelRep|Planar")


PART = b"\xff\xd8abcd"


@pytest.mark.parametrize(
    "pixels",
    [
        fragments(PART),
        fragments(PART, b"", PART),
        fragments(PART, PART, table=struct.pack("<LL", 0, 4)),
        fragments(PART, PART, table=struct.pack("<LL", 0, 2**32 - 1)),
        fragments(PART, PART, table=struct.pack("<LL", 14, 0)),
        fragments(PART, PART, table=struct.pack("<L", 0)),
        fragments(PART, PART, table=b"abc"),
        fragments(PART, PART, PART),
        fragments(b"abcdef", b"abcdef", b"abcdef"),
        b"\xfe\xff\x00\xe0\xff\xff\xff\xff",
    ],
    ids=range(10),
)
def test_d9_fragments(pixels: bytes) -> None:
    refused(encode(build(NumberOfFrames=2, PixelData=pixels), JPEG), JPEG)


def test_d9_no_sequence_delimiter() -> None:
    data = encode(build(PixelData=fragments(PART, end=False)), JPEG)
    refused(data.removesuffix(b"\xfe\xff\xdd\xe0\0\0\0\0"), JPEG, match="delimitation item")


def test_d9_millions_of_fragments() -> None:
    data = encode(build(PixelData=fragments(PART, end=False)), JPEG)
    data = data.removesuffix(b"\xfe\xff\xdd\xe0\0\0\0\0")
    refused(data + b"\xfe\xff\x00\xe0\0\0\0\0" * 2_000_000, JPEG, match="fragments")


@pytest.mark.parametrize(
    ("keyword", "text"),
    [
        ("RescaleSlope", "NaN"),
        ("RescaleSlope", "inf"),
        ("RescaleSlope", "1e999"),
        ("RescaleSlope", "0"),
        ("RescaleIntercept", "1_0"),
        ("PixelSpacing", "0\\0"),
        ("PixelSpacing", "-1\\1"),
        ("PixelSpacing", "1"),
        ("ImagePositionPatient", "1\\2"),
        ("ImagePositionPatient", "1\\2\\nan"),
        ("WindowCenter", "SECRET"),
    ],
)
def test_d13_numbers_that_are_none(keyword: str, text: str) -> None:
    ds = build(**{keyword: ["7"] * (text.count("\\") + 1)})
    written = encode(ds)
    raw = "\\".join(["7"] * (text.count("\\") + 1))
    raw += " " * (len(raw) % 2)
    new = text + " " * (len(text) % 2)
    head = struct.pack("<H", len(raw)) + raw.encode()
    data = spoil(written, b"DS" + head, b"DS" + struct.pack("<H", len(new)) + new.encode())
    refused(data, match=keyword)


UIDS = [
    "/etc/x",
    "../x",
    "1.2/../3",
    "1.2.3\\4",
    "",
    "1" * 65,
    "1.2.3\0/x",
    "\u0661.2",
    "1.2\n",
    "1 2",
]


@pytest.mark.parametrize("text", UIDS)
@pytest.mark.parametrize(
    "keyword", ["SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "SOPClassUID"]
)
def test_n1_uid_that_is_a_path(keyword: str, text: str) -> None:
    was = {"SOPInstanceUID": "1.2.3.4.5", "SOPClassUID": MR}.get(keyword, "9.9.9.9")
    raw, new = was.encode() + b"\0" * (len(was) % 2), text.encode() + b"\0" * (len(text) % 2)
    data = spoil(
        encode(build(**{keyword: was})),
        b"UI" + struct.pack("<H", len(raw)) + raw,
        b"UI" + struct.pack("<H", len(new)) + new,
    )
    several = "\\" in text
    if several:  # the first of several values is taken, and is a UID
        assert read_instance(data, EXPLICIT).first is not None
    else:
        refused(data, match=keyword, status=0xA900)


def test_n1_uid_with_leading_zeros_is_real() -> None:
    assert read_instance(encode(build(StudyInstanceUID="1.02.003")), EXPLICIT)
