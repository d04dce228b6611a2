"""Each decoder of our own against others, and what only some encoders write."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import imagecodecs
import jpeg_ls
import numpy as np
import pydicom
import pytest
from frame_messages import frame, message_of, messages_of
from hypothesis import given, settings
from hypothesis import strategies as st
from lossless_encoder import encode_lossless

from engine.decode import decode, decoders_of
from engine.errors import DecodeFailed

FILES = Path(pydicom.__file__).parent / "data" / "test_files"
LIMIT = 2**26
JPEG = "1.2.840.10008.1.2.4."
RLE = "1.2.840.10008.1.2.5"


def by_all(message, want: np.ndarray) -> None:
    """Every decoder of the syntax that is here gives `want`."""
    info = message.info
    for backend in decoders_of(info.transfer_syntax_uid, info.samples_per_pixel):
        np.testing.assert_array_equal(backend.decode(message), want, err_msg=backend.name)


# -- RLE


def rle(*segments: bytes) -> bytes:
    """Return an RLE frame (PS3.5 G.5)."""
    starts = [64 + sum(map(len, segments[:index])) for index in range(len(segments))]
    head = struct.pack("<16L", len(segments), *starts, *[0] * (15 - len(segments)))
    return head + b"".join(segments)


def test_rle_runs_may_cross_rows_and_do_nothing() -> None:
    value = rle(b"\x80\x03\x01\x02\x03\x04\x80\xfd\x07\x00\x09\x80")
    message = frame(value, rows=3, columns=3, bits_allocated=8, transfer_syntax_uid=RLE)
    assert decode(message, max_frame_bytes=LIMIT).ravel().tolist() == [1, 2, 3, 4, 7, 7, 7, 7, 9]


@pytest.mark.parametrize(
    ("segment", "words"),
    [
        (b"\x07abcdefgh\x80\x80", "holds 8 values, not 9"),
        (b"\xf7a\x80\x80\x80\x80", "holds 10 values, not 9"),
        (b"\x07abcdefgh\x01z", "holds 8 values, not 9"),
        (b"\x7fabcdefghi", "holds 0 values, not 9"),
    ],
)
def test_rle_of_another_length_is_refused(segment, words) -> None:
    message = frame(rle(segment), rows=3, columns=3, bits_allocated=8, transfer_syntax_uid=RLE)
    with pytest.raises(DecodeFailed, match=words):
        decode(message, max_frame_bytes=LIMIT)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.uint32])
@pytest.mark.parametrize("samples", [1, 3])
def test_rle_larger_than_a_block(dtype, samples) -> None:
    rng = np.random.default_rng(1)
    shape = (150, 131, samples)[: 3 if samples > 1 else 2]
    runs = np.repeat(rng.integers(0, 200, 150 * 131 * samples), rng.integers(1, 9))
    pixels = (runs[: np.prod(shape)] * (2 ** (8 * np.dtype(dtype).itemsize) // 256)).astype(dtype)
    pixels = pixels.reshape(shape)
    planes = pixels.astype(pixels.dtype.newbyteorder(">")).reshape(150 * 131, samples)
    bytes_first = planes.view(np.uint8).reshape(150 * 131, -1)
    value = rle(*(packed(plane.tobytes()) for plane in bytes_first.T))
    signed = int(np.dtype(dtype).kind == "i")
    bits = pixels.itemsize * 8
    message = message_of(value, pixels, RLE, bits, pixel_representation=signed)
    np.testing.assert_array_equal(decode(message, max_frame_bytes=LIMIT), pixels)


def packed(plane: bytes) -> bytes:
    """Return PackBits of `plane`: runs of two and more repeated, of any length up to 128."""
    made, at = b"", 0
    while at < len(plane):
        run = 1
        while at + run < len(plane) and run < 128 and plane[at + run] == plane[at]:
            run += 1
        made += bytes([257 - run, plane[at]]) if run > 1 else bytes([0, plane[at]])
        at += run
    return made + b"\x80" * (len(made) % 2)


# -- JPEG lossless

SMALL = st.integers(1, 12)


@pytest.mark.parametrize("predictor", range(1, 8))
@given(data=st.data())
@settings(max_examples=12, deadline=None)
def test_jpeg_lossless_in_all_its_forms(predictor, data) -> None:
    bits = data.draw(st.integers(2, 16))
    transform = data.draw(st.integers(0, min(3, bits - 1)))
    rows, columns, samples = data.draw(st.tuples(SMALL, SMALL, st.sampled_from([1, 3])))
    shape = (rows, columns, samples)[: 3 if samples > 1 else 2]
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    top = (1 << bits) - 1
    values = (
        rng.choice([0, top, top // 2], shape) if rng.random() < 0.5 else rng.integers(0, top, shape)
    )
    pixels = (values >> transform << transform).astype(np.uint8 if bits <= 8 else np.uint16)
    value = encode_lossless(
        pixels,
        bits=bits,
        predictor=predictor,
        point_transform=transform,
        restart_rows=data.draw(st.sampled_from([0, 1, 3])),
        interleaved=data.draw(st.booleans()),
    )
    backends = {one.name: one for one in decoders_of(f"{JPEG}57")}
    message = message_of(value, pixels, f"{JPEG}57", bits)
    for name in ("numba-jpeg-lossless", "libjpeg-turbo"):
        np.testing.assert_array_equal(backends[name].decode(message), pixels, err_msg=name)


@pytest.mark.parametrize("columns", [1, 7, 64])
def test_jpeg_lossless_noise_by_all_decoders(columns) -> None:
    pixels = np.random.default_rng(3).integers(0, 4096, (40, columns)).astype(np.uint16)
    for predictor in (1, 6):
        value = imagecodecs.jpeg8_encode(
            pixels, lossless=True, predictor=predictor, bitspersample=12
        )
        by_all(message_of(value, pixels, f"{JPEG}57", 12), pixels)


@pytest.mark.parametrize("cut", [40, 70, 100, 200, 600])
def test_jpeg_lossless_cut_inside_is_refused_with_its_row(cut) -> None:
    pixels = np.random.default_rng(3).integers(0, 4096, (40, 30)).astype(np.uint16)
    value = encode_lossless(pixels, bits=12)
    message = message_of(value[:cut] + b"\xff\xd9", pixels, f"{JPEG}57", 12)
    with pytest.raises(DecodeFailed, match=r"in row \d+ of 40|Huffman|marker|ends before"):
        decode(message, max_frame_bytes=LIMIT)


def test_a_huffman_table_of_too_many_codes_is_refused() -> None:
    pixels = np.zeros((4, 4), np.uint8)
    value = encode_lossless(pixels, bits=8)
    at = value.index(b"\xff\xc4") + 5
    crowded = value[:at] + bytes([17, 0, 0, 0, 0]) + value[at + 5 :]
    with pytest.raises(DecodeFailed, match="Huffman table"):
        decode(message_of(crowded, pixels, f"{JPEG}57", 8), max_frame_bytes=LIMIT)


# -- JPEG-LS


def pictures(bits: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield noise, a random walk, runs of all lengths, and one value with specks."""
    top = (1 << bits) - 1
    for rows, columns in ((20, 17), (33, 64)):
        steps = np.cumsum(rng.integers(-3, 4, (rows, columns)), axis=1)
        lengths = rng.integers(1, 40, rows * columns)
        yield rng.integers(0, top + 1, (rows, columns))
        yield (steps + (1 << bits - 1)).clip(0, top)
        yield np.repeat(rng.integers(0, top + 1, len(lengths)), lengths)[: rows * columns].reshape(
            rows, columns
        )
        yield rng.choice([0, top], (rows, columns), p=[0.99, 0.01])


@pytest.mark.parametrize("near", [0, 1, 3])
@pytest.mark.parametrize("bits", [2, 5, 8, 9, 12, 16])
def test_jpeg_ls_by_all_decoders(bits, near) -> None:
    if near > ((1 << bits) - 1) // 2:
        near = 0
    tried = 0
    for values in pictures(bits, np.random.default_rng(bits)):
        pixels = values.astype(np.uint8 if bits <= 8 else np.uint16)
        try:
            value = bytes(jpeg_ls.encode_buffer(pixels.tobytes(), *pixels.shape, 1, bits, near))
        except RuntimeError:  # its buffer takes no frame that does not shrink
            continue
        message = message_of(value, pixels, f"{JPEG}81", bits)
        want = pixels if near == 0 else imagecodecs.jpegls_decode(value)
        by_all(message, want)
        assert abs(want.astype(int) - pixels).max() <= near
        tried += 1
    assert tried >= 4


@pytest.mark.parametrize("part", range(1, 8))
def test_jpeg_ls_cut_inside_is_refused_with_its_row(part) -> None:
    pixels = (np.indices((40, 30)).sum(axis=0) ** 2 % 4001).astype(np.uint16)
    value = bytes(jpeg_ls.encode_buffer(pixels.tobytes(), 40, 30, 1, 12))
    message = message_of(value[: len(value) * part // 8] + b"\xff\xd9", pixels, f"{JPEG}80", 12)
    with pytest.raises(DecodeFailed, match=r"ends in row \d+ of 40"):
        decode(message, max_frame_bytes=LIMIT)


def test_jpeg_ls_with_coding_parameters_of_its_own() -> None:
    pixels = (np.indices((24, 30)).sum(axis=0) % 7 * 30).astype(np.uint8)
    value = bytes(jpeg_ls.encode_buffer(pixels.tobytes(), 24, 30, 1, 8))
    at = value.index(b"\xff\xda")
    usual = struct.pack(">BBHB5H", 0xFF, 0xF8, 13, 1, 255, 3, 7, 21, 64)
    by_all(message_of(value[:at] + usual + value[at:], pixels, f"{JPEG}80", 8), pixels)
    unusual = struct.pack(">BBHB5H", 0xFF, 0xF8, 13, 1, 255, 30, 7, 21, 64)
    with pytest.raises(DecodeFailed, match="coding parameters"):
        decode(
            message_of(value[:at] + unusual + value[at:], pixels, f"{JPEG}80", 8),
            max_frame_bytes=LIMIT,
        )


# -- JPEG Extended, JPEG-LS in colour, JPEG 2000


def test_jpeg_extended_of_12_bits_is_near_what_was_encoded() -> None:
    pixels = (np.indices((64, 80)).sum(axis=0) * 28).astype(np.uint16)
    value = imagecodecs.jpeg8_encode(pixels, level=98, bitspersample=12)
    got = decode(message_of(value, pixels, f"{JPEG}51", 12), max_frame_bytes=LIMIT)
    assert got.dtype == np.uint16
    assert abs(got.astype(int) - pixels).max() <= 12


@pytest.mark.parametrize("name", ["JPEG-lossy.dcm", "JPGExtended.dcm"])
def test_jpeg_extended_of_12_bits_as_dcmtk_decodes_it(tmp_path, name) -> None:
    dcmdjpeg = shutil.which("dcmdjpeg")
    if dcmdjpeg is None:
        assert os.environ.get("CI") != "true", "install dcmtk"
        pytest.skip("dcmdjpeg (Debian's dcmtk) is not installed")
    subprocess.run([dcmdjpeg, FILES / name, tmp_path / "native.dcm"], check=True)
    (native,) = messages_of(pydicom.dcmread(tmp_path / "native.dcm"))
    (message,) = messages_of(pydicom.dcmread(FILES / name))
    got, want = (decode(one, max_frame_bytes=LIMIT).astype(int) for one in (message, native))
    assert abs(got - want).max() <= 1  # two inverse cosine transforms


@pytest.mark.parametrize("interleave", [0, 1, 2])
@pytest.mark.parametrize("shape", [(40, 24, 3), (30, 30, 3)])
def test_jpeg_ls_colour_by_plane_line_and_pixel(interleave, shape) -> None:
    pixels = (np.indices(shape).sum(axis=0) * [1, 2, 3]).astype(np.uint8)
    source = pixels if interleave else pixels.transpose(2, 0, 1)
    value = jpeg_ls.encode_buffer(source.tobytes(), *shape, 8, interleave_mode=interleave)
    by_all(message_of(value, pixels, f"{JPEG}80", 8), pixels)


@pytest.mark.parametrize("reversible", [True, False])
@pytest.mark.parametrize("shape", [(64, 70), (64, 70, 3)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16])
def test_high_throughput_by_all_decoders(reversible, shape, dtype) -> None:
    low = -300 if np.dtype(dtype).kind == "i" else 0
    pixels = np.random.default_rng(6).integers(low, 250, shape).astype(dtype)
    value = imagecodecs.htj2k_encode(pixels, reversible=reversible)
    signed = int(low < 0)
    bits = pixels.itemsize * 8
    message = message_of(value, pixels, f"{JPEG}203", bits, pixel_representation=signed)
    if reversible:
        by_all(message, pixels)
    else:
        got = [backend.decode(message).astype(int) for backend in decoders_of(f"{JPEG}203")]
        assert all(abs(one - got[0]).max() <= 1 for one in got)
