"""Hostile encodings at the gateway: refused quickly, quietly, in little memory.

Named by the rows of the project's list of hostile inputs (D1, N1, ...).
"""

from __future__ import annotations

import struct
import zlib
from typing import Any

import pytest
from dicom_objects import (
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    JPEG,
    JPEG_2000,
    TEST_FILES,
    build,
    encode,
    file_of,
    fragments,
    spoil,
)
from hostile_objects import refused

from engine.errors import RejectedInstance
from engine.ingest.validate import Limits, read_file, read_instance

pytestmark = pytest.mark.usefixtures("quiet_libraries", "quick_and_small")
MIB = 1024 * 1024
PART = b"\xff\xd8abcd"


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


def test_d7_cut_anywhere() -> None:
    data = encode(build())
    for length in range(len(data)):
        with pytest.raises(RejectedInstance):
            read_instance(data[:length], EXPLICIT)


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
