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
    refused(b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff" + items, match="too many data elements")
    ds = encode(build(PixelData=None))
    refused(ds + b"\x00\x52\x30\x92SQ\0\0\xff\xff\xff\xff" + items, match="too many data elements")


@pytest.mark.parametrize("elements_each", [0, 20])
def test_d2_functional_groups_without_end(elements_each: int) -> None:
    """Each is read, so what may be read is capped for the whole object."""
    frames = 30_000
    head = encode(build(NumberOfFrames=frames, Rows=1, Columns=1, PixelData=bytes(2 * frames)))
    group = elements(1, "<HH4x")[: 8 * elements_each]
    group = b"".join(group[at : at + 4] + b"LO\0\0" for at in range(0, len(group), 8))
    items = (b"\xfe\xff\x00\xe0" + struct.pack("<L", len(group)) + group) * frames
    pixels = head.index(b"\xe0\x7f\x10\x00")
    groups = b"\x00\x52\x30\x92SQ\0\0" + struct.pack("<L", len(items)) + items
    data = head[:pixels] + groups + head[pixels:]
    if elements_each:
        refused(data, match="too many data elements")
    else:
        assert len(read_instance(data, EXPLICIT)) == frames


def elements(groups: int, head: str) -> bytes:
    """Return 65,536 empty elements in each of so many private groups."""
    return b"".join(
        struct.pack(head, 9 + 2 * group, number)
        for group in range(groups)
        for number in range(65536)
    )


def test_d2_many_elements_are_read() -> None:
    data = encode(build())
    first = data.index(b"\x28\x00\x02\x00")
    many = elements(1, "<HH4x")
    many = b"".join(many[at : at + 4] + b"LO\0\0" for at in range(0, len(many), 8))
    assert len(read_instance(data[:first] + many + data[first:], EXPLICIT)) == 1


def test_d2_elements_without_end() -> None:
    data = encode(build(), IMPLICIT)
    first = data.index(b"\x28\x00\x02\x00")
    endless = data[:first] + elements(9, "<HH4x") + data[first:]
    refused(endless, IMPLICIT, match="too many data elements")


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


@pytest.mark.parametrize("length", [2**32 - 1, 2**32 - 2, 2**31])
@pytest.mark.parametrize("where", ["pixels", "element", "item", "fragment"])
def test_d7_four_gib_with_a_hundred_bytes_behind(where: str, length: int) -> None:
    head, size = encode(build(PixelData=None)), struct.pack("<L", length)
    item = b"\xfe\xff\x00\xe0" + size
    start = {
        "pixels": b"\xe0\x7f\x10\x00OW\0\0" + size,
        "element": b"\x29\x00\x10\x10OB\0\0" + size,
        "item": b"\x29\x00\x10\x10SQ\0\0\xff\xff\xff\xff" + item,
        "fragment": b"\xe0\x7f\x10\x00OB\0\0\xff\xff\xff\xff" + fragments(b"", end=False) + item,
    }[where]
    refused(head + start + bytes(100), JPEG if where == "fragment" else EXPLICIT)


def test_d7_cut_anywhere() -> None:
    data = encode(build())
    for length in range(len(data)):
        with pytest.raises(RejectedInstance):
            read_instance(data[:length], EXPLICIT)


CHARACTER_SETS = [b"SECRET", b"ISO\0IR 100", b"..\\..\\etc", b"punycode", b"zlib", b"ISO_IR 1000"]


def charset_object(charset: bytes, text: bytes) -> bytes:
    """Return an object whose ProtocolName, which routes match on, is `text` in `charset`."""
    ds = encode(build(SpecificCharacterSet="ISO_IR 100", ProtocolName="PROTOCOL"))
    for vr, old, new in ((b"CS", b"ISO_IR 100", charset), (b"LO", b"PROTOCOL", text)):
        new += b" " * (len(new) % 2)
        ds = spoil(
            ds,
            vr + struct.pack("<H", len(old)) + old,
            vr + struct.pack("<H", len(new)) + new,
        )
    return ds


@pytest.mark.parametrize("charset", CHARACTER_SETS)
def test_d11_unknown_character_sets(charset: bytes) -> None:
    keywords = frozenset({"ProtocolName"})
    with pytest.raises(RejectedInstance, match="ProtocolName cannot be read") as caught:
        read_instance(charset_object(charset, b"SECRET\xfc"), EXPLICIT, keywords=keywords)
    assert "SECRET" not in str(caught.value)
    plain = read_instance(charset_object(charset, b"plain"), EXPLICIT, keywords=keywords)
    assert plain.first.keywords == {"ProtocolName": "plain"}  # ASCII needs none


@pytest.mark.parametrize("escape", [b"\x1b", b"\x1b$", b"\x1b$\x1b", b"\x1b" * 1000, b"\x1b(Z"])
@pytest.mark.parametrize("charset", [b"ISO_IR 100", b"\\ISO 2022 IR 87", b"ISO_IR 192"])
def test_d11_broken_escapes(charset: bytes, escape: bytes) -> None:
    data = charset_object(charset, b"SECRET" + escape)
    with pytest.raises(RejectedInstance, match="or an escape is"):
        read_instance(data, EXPLICIT, keywords=frozenset({"ProtocolName"}))


def test_d11_long_text_is_not_decoded() -> None:
    data = charset_object(b"ISO_IR 192", b"\xc3\xbc" * 20_000)
    first = read_instance(data, EXPLICIT, keywords=frozenset({"ProtocolName"})).first
    assert first.keywords == {}


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
