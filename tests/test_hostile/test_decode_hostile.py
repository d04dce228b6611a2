"""Hostile frames: each is refused in time, and costs no memory to speak of.

The ids are those of the list of hostile inputs. Every refusal is `DecodeFailed` with a reason.
"""

from __future__ import annotations

import signal
import struct
import sys
import time
from pathlib import Path

import imagecodecs
import msgspec
import numpy as np
import pydicom
import pytest
from pydicom import dcmread
from pydicom.pixels.encoders.base import get_encoder
from watching import little_memory

from engine.decode import backend_for, decode
from engine.decode.isolated import IsolatedBackend
from engine.errors import DecodeFailed
from engine.messages import FrameMessage

sys.path.append(str(Path(__file__).parent.parent / "test_engine"))
from frame_messages import frame, messages_of

LIMIT = 256 * 1024 * 1024
MEMORY_BYTES = 256 * 1024 * 1024
RLE = "1.2.840.10008.1.2.5"
JPEG_LOSSLESS = "1.2.840.10008.1.2.4.70"
JPEG_LS = "1.2.840.10008.1.2.4.80"
J2K = "1.2.840.10008.1.2.4.90"


def refused(value: bytes, *, match: str, limit: int = LIMIT, **module) -> None:
    """Decode must refuse within 5 s and without memory."""
    message = frame(value, **module)
    start = time.monotonic()
    with little_memory(MEMORY_BYTES), pytest.raises(DecodeFailed, match=match):
        decode(message, max_frame_bytes=limit)
    assert time.monotonic() - start < 5


def encoded(syntax: str, plugin: str, pixels: np.ndarray, **module) -> bytes:
    size = {"rows": pixels.shape[0], "columns": pixels.shape[1], "samples_per_pixel": 1}
    bits = {"bits_allocated": pixels.dtype.itemsize * 8, "bits_stored": pixels.dtype.itemsize * 8}
    kind = {"photometric_interpretation": "MONOCHROME2", "pixel_representation": 0}
    options = {"number_of_frames": 1, **size, **bits, **kind, **module}
    return get_encoder(syntax).encode(pixels, encoding_plugin=plugin, **options)


GRADIENT = (np.indices((32, 48)).sum(axis=0) * 3).astype(np.uint8)
SIZE = {"rows": 32, "columns": 48, "bits_allocated": 8}


@pytest.mark.parametrize("syntax", [RLE, J2K, JPEG_LS, JPEG_LOSSLESS, "1.2.840.10008.1.2.1"])
def test_d4_a_huge_frame_in_sixteen_bytes(syntax) -> None:
    huge = {"rows": 65535, "columns": 65535, "bits_allocated": 8, "transfer_syntax_uid": syntax}
    refused(b"\xff" * 16, match="max_frame_bytes", **huge)
    refused(b"\xff" * 16, match=r".", limit=2**40, **huge)


def test_d4_an_rle_frame_too_short_for_its_size() -> None:
    value = struct.pack("<16L", 1, 64, *[0] * 14) + b"\x81\x00" * 4
    refused(
        value, match="too short", rows=4096, columns=4096, bits_allocated=8, transfer_syntax_uid=RLE
    )


@pytest.mark.parametrize("descriptor", ["PALETTE COLOR", "no such thing"])
def test_d6_palettes_are_not_looked_up_while_decoding(descriptor) -> None:
    """Stored values are indices here; none is used as one."""
    message = frame(
        b"\xff" * 4, rows=2, columns=2, bits_allocated=8, photometric_interpretation=descriptor
    )
    assert decode(message, max_frame_bytes=LIMIT).max() == 255


@pytest.mark.parametrize("length", [0, 1, 99, 100, 2046, 2050, 4096])
def test_d7_native_pixels_of_another_length(length) -> None:
    refused(bytes(length), match="bytes of native pixels", rows=32, columns=32)


@pytest.mark.parametrize(
    ("syntax", "plugin"), [(RLE, "pydicom"), (JPEG_LS, "pyjpegls"), (J2K, "pylibjpeg")]
)
def test_d7_a_compressed_frame_cut_anywhere(syntax, plugin) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 48)).astype(np.uint8)
    value = encoded(syntax, plugin, pixels)
    for length in range(0, len(value) - 2, max(1, len(value) // 60)):
        refused(value[:length], match=r".", transfer_syntax_uid=syntax, **SIZE)


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ({"bits_allocated": 7, "bits_stored": 7, "high_bit": 6}, "BitsAllocated"),
        ({"bits_allocated": 12, "bits_stored": 12, "high_bit": 11}, "BitsAllocated"),
        ({"bits_allocated": 8, "bits_stored": 12, "high_bit": 11}, "BitsStored"),
        ({"bits_allocated": 16, "bits_stored": 12, "high_bit": 15}, "HighBit"),
        ({"bits_allocated": 16, "bits_stored": 12, "high_bit": 10}, "HighBit"),
    ],
)
def test_d8_impossible_bits(module, words) -> None:
    refused(bytes(8), match=words, rows=2, columns=2, **module)


@pytest.mark.parametrize(
    "header",
    [
        (0,),
        (15, 64),
        (2**32 - 1, 64),
        (1, 0),
        (1, 63),
        (1, 2**32 - 1),
        (2, 64, 64),
        (2, 80, 64),
    ],
)
def test_d9_rle_offsets_outside_the_data(header) -> None:
    value = struct.pack("<16L", *header, *[0] * (16 - len(header))) + b"\x81\x00" * 40
    bits = 16 if header[0] == 2 else 8
    refused(value, match="segment", rows=8, columns=8, bits_allocated=bits, transfer_syntax_uid=RLE)


@pytest.mark.parametrize("length", [0, 1, 63])
@pytest.mark.parametrize("syntax", [RLE, J2K, JPEG_LS, JPEG_LOSSLESS])
def test_d9_a_frame_of_next_to_nothing(syntax, length) -> None:
    refused(bytes(length), match=r".", transfer_syntax_uid=syntax, **SIZE)


@pytest.mark.parametrize(("syntax", "plugin"), [(JPEG_LS, "pyjpegls"), (J2K, "pylibjpeg")])
@pytest.mark.parametrize(
    "lie", [{"rows": 31}, {"columns": 49}, {"rows": 48, "columns": 32}, {"rows": 2000}]
)
def test_d10_a_codestream_of_another_size(syntax, plugin, lie) -> None:
    value = encoded(syntax, plugin, GRADIENT)
    refused(value, match="the codestream is", transfer_syntax_uid=syntax, **{**SIZE, **lie})


@pytest.mark.parametrize(("syntax", "plugin"), [(JPEG_LS, "pyjpegls"), (J2K, "pylibjpeg")])
def test_d10_a_codestream_of_another_depth(syntax, plugin) -> None:
    shallow = encoded(syntax, plugin, GRADIENT)
    deeper = {"rows": 32, "columns": 48, "bits_allocated": 16, "bits_stored": 12}
    refused(shallow, match="bits a sample", transfer_syntax_uid=syntax, **deeper)
    deep = encoded(syntax, plugin, GRADIENT.astype(np.uint16) * 200)
    refused(deep, match="bits a sample", transfer_syntax_uid=syntax, **SIZE)
    refused(deep, match="do not fit", transfer_syntax_uid=syntax, **deeper)


def test_d10_a_codestream_of_other_components() -> None:
    value = encoded(J2K, "pylibjpeg", GRADIENT)
    refused(
        value,
        match="the codestream is",
        transfer_syntax_uid=J2K,
        samples_per_pixel=3,
        photometric_interpretation="RGB",
        **SIZE,
    )


def test_d10_a_codestream_that_makes_a_decoder_loop() -> None:
    """CVE-2023-39327: packets without end, promised by few bytes."""
    value = bytearray(encoded(J2K, "pylibjpeg", GRADIENT))
    layers = value.index(b"\xff\x52") + 6
    value[layers : layers + 2] = b"\xff\xff"
    refused(bytes(value), match="packets", transfer_syntax_uid=J2K, **SIZE)


def test_d10_tiles_without_number() -> None:
    value = bytearray(encoded(J2K, "pylibjpeg", GRADIENT))
    tile = value.index(b"\xff\x51") + 22
    value[tile : tile + 8] = struct.pack(">II", 1, 1)
    refused(bytes(value), match="packets|tiles", transfer_syntax_uid=J2K, **SIZE)
    value[tile : tile + 8] = bytes(8)
    refused(bytes(value), match="tiles", transfer_syntax_uid=J2K, **SIZE)


def high_throughput() -> FrameMessage:
    """Return a frame of HTJ2K, whose decoder runs isolated."""
    value = bytes(imagecodecs.htj2k_encode(GRADIENT, reversible=True))
    return frame(value, transfer_syntax_uid="1.2.840.10008.1.2.4.201", **SIZE)


def originals() -> list[FrameMessage]:
    """Return one frame of each codec."""
    codecs = ((RLE, "pydicom"), (JPEG_LS, "pyjpegls"), (J2K, "pylibjpeg"))
    made = [
        frame(encoded(syntax, plugin, GRADIENT), transfer_syntax_uid=syntax, **SIZE)
        for syntax, plugin in codecs
    ]
    for name in ("SC_rgb_jpeg_gdcm.dcm", "SC_rgb_jpeg_dcmtk.dcm"):
        made += messages_of(dcmread(Path(pydicom.__file__).parent / "data/test_files" / name))
    return [*made, high_throughput()]


@pytest.mark.parametrize("message", originals(), ids=lambda one: one.info.transfer_syntax_uid)
def test_d10_d15_random_damage_costs_a_frame_at_most(message) -> None:
    """One byte in a hundred is changed: a frame of the right kind comes out, or `DecodeFailed`.

    OpenJPH 0.26.3 ends its process on some of these.
    """
    rng = np.random.default_rng(0)
    value = np.frombuffer(message.value, np.uint8)
    intact = decode(message, max_frame_bytes=LIMIT)
    for _ in range(100):
        damaged = value.copy()
        where = rng.integers(0, len(value), max(1, len(value) // 100))
        damaged[where] = rng.integers(0, 256, len(where))
        hostile = msgspec.structs.replace(message, value=damaged.tobytes())
        try:
            assert decode(hostile, max_frame_bytes=LIMIT).shape == intact.shape
        except DecodeFailed:
            continue
    np.testing.assert_array_equal(decode(message, max_frame_bytes=LIMIT), intact)


def test_d15_a_decoder_that_dies_or_hangs_is_replaced() -> None:
    message = high_throughput()
    backend = backend_for(message.info.transfer_syntax_uid)
    assert isinstance(backend, IsolatedBackend)
    intact = decode(message, max_frame_bytes=LIMIT)
    child = backend._take()
    backend._idle.put(child)
    child.process.kill()
    child.process.wait()
    np.testing.assert_array_equal(decode(message, max_frame_bytes=LIMIT), intact)
    child = backend._take()
    child.process.send_signal(signal.SIGALRM)  # what its own deadline sends
    with pytest.raises((OSError, EOFError)):
        child.ask(message, np.empty_like(intact))
    assert child.end() == "did not end in time"


@pytest.mark.parametrize(
    ("syntax", "words"),
    [("1.2.3", "not supported"), (JPEG_LOSSLESS, "another kind"), (J2K, "not a JPEG 2000")],
)
def test_d12_a_transfer_syntax_that_is_not_the_encoding(syntax, words) -> None:
    refused(encoded(JPEG_LS, "pyjpegls", GRADIENT), match=words, transfer_syntax_uid=syntax, **SIZE)
