"""Hostile attributes and frames at the gateway: refused quickly, quietly, in little memory.

Named by the rows of the project's list of hostile inputs (D1, N1, ...).
"""

from __future__ import annotations

import struct

import pytest
from dicom_objects import (
    EXPLICIT,
    IMPLICIT,
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

from engine.ingest.header import MAX_FRAMES
from engine.ingest.validate import read_instance
from engine.postprocess.cine import measure_cine
from engine.series import CineFrame

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


@pytest.mark.parametrize("frames", [2, MAX_FRAMES, MAX_FRAMES + 1, 2**31 - 2])
def test_d5_more_frames_than_bytes(frames: int) -> None:
    refused(encode(build(NumberOfFrames=frames)), match="NumberOfFrames|shorter")
    ds = build(NumberOfFrames=frames, PixelData=fragments(b"\xff\xd8ab"))
    refused(encode(ds, JPEG), JPEG, match="NumberOfFrames|fewer fragments")


def test_d5_more_frames_than_messages() -> None:
    """A megabyte of single bits, each of them a frame, would be eight million messages."""
    bit = {"Rows": 1, "Columns": 1, "BitsAllocated": 1, "BitsStored": 1, "HighBit": 0}
    ds = build(NumberOfFrames=8_000_000, PixelData=bytes(1_000_000), **bit)
    refused(encode(ds), match="NumberOfFrames must be 1 to")


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
    ids=[
        "one frame less than fragments say",
        "a fragment of length zero",
        "an offset inside a fragment",
        "an offset outside the data",
        "offsets that fall",
        "a table of one frame",
        "a table of three bytes",
        "an empty table, and more fragments than frames",
        "an empty table, and fragments that say nothing",
        "an item without end",
    ],
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
        ("RescaleSlope", "1e308"),
        ("PixelSpacing", "1e300\\1"),
        ("ImagePositionPatient", "0\\0\\-1e99"),
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


def test_d13_values_without_end() -> None:
    """Where VR and length are not written by hand, a DS can be of any length."""
    data = encode(build(PixelSpacing=["7", "7"]), IMPLICIT)
    many = b"1\\" * 8_000_000
    head = b"\x28\x00\x30\x00"
    huge = spoil(data, head + b"\4\0\0\0" + b"7\\7 ", head + struct.pack("<L", len(many)) + many)
    refused(huge, IMPLICIT, match="PixelSpacing has more than")


@pytest.mark.parametrize("phases", [1, 2, 3])
def test_d13_duplicate_slice_positions(phases: int) -> None:
    """The same place twice is no empty slice and no second one: its series is never complete."""
    position = [build(ImagePositionPatient=[0, 0, 5], TriggerTime=time) for time in range(phases)]
    infos = [read_instance(encode(ds), EXPLICIT).first for ds in position * 2]
    assert {info.image_position_patient for info in infos} == {(0, 0, 5)}
    frames = [
        CineFrame(
            position_mm=5.0,
            trigger_time_ms=info.trigger_time or 0.0,
            area_mm2=100.0,
            phases=phases,
            slice_thickness_mm=8.0,
        )
        for info in infos
    ]
    measured = measure_cine(frames)
    assert measured is not None
    assert not measured.full
    assert set(measured.volumes_ml) == {0.8}


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
