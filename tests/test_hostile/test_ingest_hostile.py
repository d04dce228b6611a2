"""Hostile objects at the gateway: each is refused, quickly, quietly, in little memory.

Named by the rows of the project's list of hostile inputs (D1, N1, ...).
"""

from __future__ import annotations

import resource
import struct
import time
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
from dicom_objects import (
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    JPEG,
    JPEG_2000,
    MR,
    RLE,
    TEST_FILES,
    build,
    encode,
    file_of,
    fragments,
    spoil,
)
from pydicom import config

from engine.errors import RejectedInstance
from engine.ingest.validate import Limits, read_file, read_instance
from engine.quiet import silence_dicom_libraries

MIB = 1024 * 1024


@pytest.fixture(autouse=True)
def _quiet_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gateway's process is quiet; and pydicom must let the tests build what is wrong."""
    for mode in ("reading_validation_mode", "writing_validation_mode"):
        monkeypatch.setattr(config.settings, mode, config.IGNORE)
    silence_dicom_libraries()


@pytest.fixture(autouse=True)
def _quick_and_small() -> Iterator[None]:
    """Every refusal takes less than 5 s of a processor, and 256 MiB over rest."""
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.thread_time()
    yield
    assert time.thread_time() - started < 5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 256 * 1024


def refused(data: bytes, syntax: str = EXPLICIT, *, match: str = ".", status: int = 0xC000) -> None:
    """Hold that the object is refused with this status, by a text that quotes no value of it."""
    with pytest.raises(RejectedInstance, match=match) as caught:
        list(read_instance(data, syntax))
    assert caught.value.status == status
    assert "SECRET" not in str(caught.value)


def test_d2_nested_sequences_of_defined_and_undefined_length() -> None:
    start, item = b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff", b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    for depth in (200, 5000, 500_000):
        nested = (start + item) * depth
        refused(nested + encode(build()), match="nested more than")
        closed = nested + (b"\xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0") * depth
        refused(closed + encode(build()), match="nested more than")


def test_d2_a_million_empty_items() -> None:
    items = b"\xfe\xff\x00\xe0\0\0\0\0" * 4_000_000
    refused(b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff" + items, match="sequence has more than")
    ds = encode(build(PixelData=None))
    refused(ds + b"\x00\x52\x30\x92SQ\0\0\xff\xff\xff\xff" + items, match="sequence has more than")


def test_d3_deflated_bomb() -> None:
    deflater = zlib.compressobj(9, wbits=-15)
    zeros = bytes(MIB)
    data = b"".join(deflater.compress(zeros) for _ in range(64)) + deflater.flush()
    assert len(data) * 1000 < 64 * MIB
    refused(data, DEFLATED, match="inflates to more")


def test_d3_deflated_damage() -> None:
    deflater = zlib.compressobj(wbits=-15)
    data = deflater.compress(encode(build())) + deflater.flush()
    refused(data[: len(data) // 2], DEFLATED, match="cut short")
    refused(b"\xff" * 100, DEFLATED, match="damaged")


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


def test_d7_cut_anywhere() -> None:
    data = encode(build())
    for length in range(len(data)):
        with pytest.raises(RejectedInstance):
            read_instance(data[:length], EXPLICIT)


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


@pytest.mark.parametrize("charset", [b"SECRET    ", b"ISO_IR\\ab ", b"ISO\0IR\000", bytes(10)])
def test_d11_character_sets(charset: bytes) -> None:
    ds = build(SpecificCharacterSet="ISO_IR 100", ProtocolName="SECRET\x1b$\x1b")
    keywords = frozenset({"ProtocolName"})
    data = spoil(encode(ds), b"ISO_IR 100", charset)
    assert "SECRET" not in (_text_of_refusal(data, keywords) or "")


@pytest.mark.parametrize(
    ("written", "claimed"),
    [
        (EXPLICIT, IMPLICIT),
        (IMPLICIT, EXPLICIT),
        ("1.2.840.10008.1.2.2", EXPLICIT),
        (EXPLICIT, "1.2.840.10008.1.2.2"),
        (EXPLICIT, JPEG),
        (EXPLICIT, DEFLATED),
        (EXPLICIT, "1.2.3.4"),
        (EXPLICIT, ""),
    ],
)
def test_d12_transfer_syntax_that_is_not_the_encoding(written: str, claimed: str) -> None:
    refused(encode(build(), written), claimed)


def test_d12_codestream_of_another_transfer_syntax() -> None:
    data = encode(build(PixelData=fragments(PART)), JPEG)
    refused(data, JPEG_2000, match="not encoded in the object's transfer syntax")
    refused(data, EXPLICIT, match="encapsulated but")


def test_d12_meta_group_length_is_not_believed() -> None:
    data = file_of(build())
    for lie in (0, 1, 2**31, 2**32 - 1):
        lying = data[:140] + struct.pack("<L", lie) + data[144:]
        assert read_file(lying).first.rows == 4


def test_d12_meta_information_without_end() -> None:
    data = file_of(build())
    for broken in (data[:150], data[:133], data[:132] + b"\x02\x00\x02\x00UI\xff\xff1.2"):
        with pytest.raises(RejectedInstance):
            read_file(broken)


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


@pytest.mark.parametrize("data", [b"", b"SECRET: a text file\n" * 100, bytes(4096), b"DICM" * 99])
def test_d14_not_dicom(data: bytes) -> None:
    refused(data)
    with pytest.raises(RejectedInstance, match=r"not a DICOM file|meta information"):
        read_file(data)


def test_d14_object_without_pixels() -> None:
    refused(encode(build(PixelData=None)), match="no pixels", status=0xA900)
    for name in ("rtplan.dcm", "test-SR.dcm", "waveform_ecg.dcm", "reportsi.dcm"):
        with pytest.raises(RejectedInstance, match="no pixels"):
            read_file((TEST_FILES / name).read_bytes())


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


def test_caps_on_the_whole_object() -> None:
    with pytest.raises(RejectedInstance, match="max_object_bytes") as caught:
        read_instance(encode(build()), EXPLICIT, limits=Limits(max_object_bytes=100))
    assert caught.value.status == 0xA700


def test_every_flipped_byte_is_read_or_refused() -> None:
    data = bytearray(encode(build(PixelSpacing=[1, 1], WindowCenter=4, WindowWidth=8)))
    for index in range(len(data)):
        for mask in (0x01, 0x80, 0xFF):
            data[index] ^= mask
            _read_or_refuse(bytes(data), EXPLICIT)
            data[index] ^= mask


@pytest.mark.parametrize("name", ["MR_small_RLE.dcm", "liver_1frame.dcm", "examples_ybr_color.dcm"])
def test_real_objects_cut_anywhere(name: str) -> None:
    data = (TEST_FILES / name).read_bytes()
    for length in range(0, min(len(data), 200_000), 997):
        with pytest.raises(RejectedInstance):
            read_file(data[:length])


def _text_of_refusal(data: bytes, keywords: frozenset[str]) -> str | None:
    try:
        read_instance(data, EXPLICIT, keywords=keywords)
    except RejectedInstance as error:
        return str(error)
    return None


def _read_or_refuse(data: bytes, syntax: str) -> Any:
    try:
        return list(read_instance(data, syntax))
    except RejectedInstance:
        return None
