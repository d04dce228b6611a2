"""Decoding: bit for bit what pydicom says, and refusals that say why."""

from __future__ import annotations

import os
import shutil
import subprocess
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pydicom
import pytest
from frame_messages import frame, messages_of
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pydicom.encaps import generate_frames
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.encoders.base import get_encoder

from engine.decode import available, backend_for, decode, decoders_of, imagecodecs_backend
from engine.decode.imagecodecs_backend import ImagecodecsBackend
from engine.decode.pydicom_backend import PydicomBackend
from engine.errors import DecodeFailed

FILES = Path(pydicom.__file__).parent / "data" / "test_files"
LIMIT = 2**26
JPEG = "1.2.840.10008.1.2.4."
RLE = "1.2.840.10008.1.2.5"
NOT_DECODED = {
    "JPEG2000-embedded-sequence-delimiter.dcm": "its SIZ was overwritten, on purpose",
    "MR_truncated.dcm": "its pixels are cut off, on purpose",
}
NOT_BY_PYDICOM = {
    "JPEG-lossy.dcm": "JPEG Extended of 12 bits",
    "JPGExtended.dcm": "JPEG Extended of 12 bits",
}
NO_FRAMES = {
    "badVR.dcm": "NumberOfFrames is not a number",
    "meta_missing_tsyntax.dcm": "no Image Pixel module",
    "nested_priv_SQ.dcm": "no Image Pixel module",
}


def read(path: Path) -> pydicom.Dataset | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about attributes of the test files
        ds = pydicom.dcmread(path, force=True)
        return ds if "PixelData" in ds else None


def files() -> list[Path]:
    with_pixels = [path for path in sorted(FILES.glob("*.dcm")) if read(path) is not None]
    assert len(with_pixels) > 50
    return with_pixels


def theirs(ds: pydicom.Dataset, index: int) -> np.ndarray:
    """Return pydicom's raw pixels by the plug-in that keeps their colour."""
    syntax = ds.file_meta.TransferSyntaxUID
    plugin = "gdcm" if str(syntax) in (f"{JPEG}50", f"{JPEG}51") else ""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        decoder = get_decoder(syntax)
        return decoder.as_array(ds, index=index, raw=True, decoding_plugin=plugin)[0]


@pytest.mark.parametrize("path", files(), ids=lambda path: path.name)
def test_every_file_of_pydicom_decodes_to_pydicoms_pixels(path: Path) -> None:
    if path.name in NO_FRAMES | NOT_BY_PYDICOM:
        pytest.skip((NO_FRAMES | NOT_BY_PYDICOM)[path.name])
    ds = read(path)
    for index, message in enumerate(messages_of(ds)):
        if path.name in NOT_DECODED:
            with pytest.raises(DecodeFailed):
                decode(message, max_frame_bytes=LIMIT)
            continue
        got, want = decode(message, max_frame_bytes=LIMIT), theirs(ds, index)
        np.testing.assert_array_equal(got, want)
        assert got.dtype == want.dtype.newbyteorder("=")


def lossless_files() -> list[Path]:
    lossless = (f"{JPEG}57", f"{JPEG}70", f"{JPEG}80", f"{JPEG}90", RLE)
    return [path for path in files() if read(path).file_meta.get("TransferSyntaxUID") in lossless]


@pytest.mark.parametrize("path", lossless_files(), ids=lambda path: path.name)
def test_lossless_frames_are_the_same_by_every_plugin(path: Path) -> None:
    ds = read(path)
    syntax = ds.file_meta.TransferSyntaxUID
    got = decode(next(messages_of(ds)), max_frame_bytes=LIMIT)
    for plugin in set(get_decoder(syntax).available_plugins) - {"pillow"}:  # it converts colour
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            want, _ = get_decoder(syntax).as_array(ds, index=0, raw=True, decoding_plugin=plugin)
        np.testing.assert_array_equal(got, want)


SHAPES = st.tuples(st.integers(1, 24), st.integers(1, 24))
KINDS = [(np.uint8, 8), (np.uint16, 16), (np.int16, 16), (np.uint16, 12), (np.int16, 12)]


def pixels_of(draw: st.DataObject, least: int) -> tuple[np.ndarray, dict]:
    """Draw a frame and its pixel module."""
    dtype, stored = draw.draw(st.sampled_from(KINDS))
    signed = int(np.dtype(dtype).kind == "i")
    low, high = (-(1 << stored - 1), (1 << stored - 1) - 1) if signed else (0, (1 << stored) - 1)
    side = st.integers(least, least + 24)
    shape = draw.draw(st.tuples(side, side))
    pixels = draw.draw(arrays.arrays(dtype, shape, elements=st.integers(low, high)))
    module = {
        "rows": pixels.shape[0],
        "columns": pixels.shape[1],
        "samples_per_pixel": 1,
        "bits_allocated": pixels.dtype.itemsize * 8,
        "bits_stored": stored,
        "pixel_representation": signed,
        "photometric_interpretation": "MONOCHROME2",
    }
    return pixels, module


@pytest.mark.parametrize(
    # OpenJPEG's encoder wants 32 pixels for its 6 resolutions, CharLS's room for its header
    ("syntax", "plugin", "least"),
    [(RLE, "pydicom", 1), (f"{JPEG}80", "pyjpegls", 16), (f"{JPEG}90", "pylibjpeg", 32)],
)
@given(draw=st.data())
@settings(max_examples=40, deadline=None)
def test_what_was_encoded_without_loss_comes_back(syntax, plugin, least, draw) -> None:
    pixels, module = pixels_of(draw, least)
    value = get_encoder(syntax).encode(pixels, encoding_plugin=plugin, number_of_frames=1, **module)
    got = decode(frame(value, transfer_syntax_uid=syntax, **module), max_frame_bytes=LIMIT)
    np.testing.assert_array_equal(got, pixels)
    assert got.dtype == pixels.dtype


@pytest.mark.parametrize(("process", "syntax"), [("+el", f"{JPEG}57"), ("+e1", f"{JPEG}70")])
@pytest.mark.parametrize(("dtype", "stored"), KINDS)
def test_jpeg_lossless_by_dcmtk_comes_back(tmp_path, process, syntax, dtype, stored) -> None:
    dcmcjpeg = shutil.which("dcmcjpeg")
    if dcmcjpeg is None:
        assert os.environ.get("CI") != "true", "install dcmtk"
        pytest.skip("dcmcjpeg (Debian's dcmtk) is not installed")
    signed = int(np.dtype(dtype).kind == "i")
    low, high = (-(1 << stored - 1), 1 << stored - 1) if signed else (0, 1 << stored)
    pixels = np.random.default_rng(0).integers(low, high, (34, 47)).astype(dtype)
    ds = pydicom.Dataset()
    ds.file_meta = pydicom.dataset.FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = "2.25.1"
    ds.set_pixel_data(pixels, "MONOCHROME2", stored)
    native, compressed = tmp_path / "native.dcm", tmp_path / "compressed.dcm"
    ds.save_as(native, enforce_file_format=True)
    # True lossless: DCMTK's other mode scales the values. It keeps the first UID then.
    subprocess.run([dcmcjpeg, process, "+ua", native, compressed], check=True)
    found = pydicom.dcmread(compressed)
    assert found.file_meta.TransferSyntaxUID == syntax
    (message,) = messages_of(found)
    np.testing.assert_array_equal(decode(message, max_frame_bytes=LIMIT), pixels)


def test_native_pixels_are_a_view_of_the_message() -> None:
    message = frame(np.arange(12, dtype="<i2").tobytes(), rows=3, columns=4)
    got = decode(message, max_frame_bytes=LIMIT)
    assert np.shares_memory(got, np.frombuffer(message.value, np.uint8))
    assert not got.flags.writeable


@pytest.mark.parametrize("dtype", ["u1", "i1", "<u2", "<i2", "<u4", "<i4"])
def test_native_dtypes(dtype) -> None:
    pixels = np.arange(-6 if "i" in dtype else 0, 6, dtype=dtype).reshape(2, -1)
    message = frame(
        pixels.tobytes(),
        rows=2,
        columns=pixels.shape[1],
        bits_allocated=pixels.dtype.itemsize * 8,
        pixel_representation=int("i" in dtype),
    )
    got = decode(message, max_frame_bytes=LIMIT)
    np.testing.assert_array_equal(got, pixels)
    assert got.dtype == pixels.dtype


@pytest.mark.parametrize("dtype", [">u2", ">i2", ">u4"])
def test_big_endian_comes_in_this_machines_order(dtype) -> None:
    pixels = np.arange(6, dtype=dtype).reshape(2, 3)
    message = frame(
        pixels.tobytes(),
        rows=2,
        columns=3,
        bits_allocated=pixels.dtype.itemsize * 8,
        pixel_representation=int("i" in dtype),
        transfer_syntax_uid="1.2.840.10008.1.2.2",
    )
    got = decode(message, max_frame_bytes=LIMIT)
    np.testing.assert_array_equal(got, pixels)
    assert got.dtype.isnative


@given(pixels=arrays.arrays(np.int16, SHAPES, elements=st.integers(-2048, 2047)), junk=st.data())
@settings(max_examples=40, deadline=None)
def test_bits_above_the_high_bit_are_no_part_of_a_value(pixels, junk) -> None:
    words = pixels.view(np.uint16) & 0x0FFF
    high = junk.draw(arrays.arrays(np.uint16, pixels.shape, elements=st.integers(0, 15)))
    value = (words | high << 12).astype("<u2").tobytes()
    size = {"rows": pixels.shape[0], "columns": pixels.shape[1], "bits_stored": 12}
    signed = decode(frame(value, pixel_representation=1, **size), max_frame_bytes=LIMIT)
    np.testing.assert_array_equal(signed, pixels)
    unsigned = decode(frame(value, pixel_representation=0, **size), max_frame_bytes=LIMIT)
    np.testing.assert_array_equal(unsigned, words)


@pytest.mark.parametrize("planar", [0, 1])
def test_colour_is_interleaved_whatever_the_planar_configuration(planar) -> None:
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    stored = pixels.transpose(2, 0, 1) if planar else pixels
    message = frame(
        stored.tobytes(),
        rows=2,
        columns=4,
        samples_per_pixel=3,
        bits_allocated=8,
        planar_configuration=planar,
        photometric_interpretation="RGB",
    )
    np.testing.assert_array_equal(decode(message, max_frame_bytes=LIMIT), pixels)


def test_bits_of_a_frame_that_begins_inside_a_byte() -> None:
    frames = np.random.default_rng(0).integers(0, 2, (4, 3, 5)).astype(np.uint8)
    packed = np.packbits(frames.ravel(), bitorder="little").tobytes()
    for index, want in enumerate(frames):
        value = packed[index * 15 // 8 : -(-(index + 1) * 15 // 8)]
        message = frame(value, rows=3, columns=5, bits_allocated=1, frame_number=index + 1)
        np.testing.assert_array_equal(decode(message, max_frame_bytes=LIMIT), want)


@pytest.mark.parametrize(
    ("value", "vr"),
    [(b"badc", ""), (b"bad", "OW"), (b"ba", "OW"), (b"badcfe", "OW"), (b"abcdef", "OB")],
)
def test_8_bit_big_endian_needs_its_vr_and_whole_words(value: bytes, vr: str) -> None:
    module = {"bits_allocated": 8, "transfer_syntax_uid": "1.2.840.10008.1.2.2"}
    message = frame(value, rows=1, columns=3, pixel_data_vr=vr, **module)
    with pytest.raises(DecodeFailed):
        decode(message, max_frame_bytes=LIMIT)


def test_an_odd_frame_may_be_padded() -> None:
    message = frame(b"abc\0", rows=1, columns=3, bits_allocated=8)
    assert decode(message, max_frame_bytes=LIMIT).tobytes() == b"abc"


def test_every_syntax_has_a_backend_and_says_what_is_missing(monkeypatch) -> None:
    assert len(available()) == 16
    assert all(one.missing is None for one in available().values())
    monkeypatch.setattr(imagecodecs_backend, "imagecodecs", None)
    assert available()[f"{JPEG}90"] == ("pylibjpeg-openjpeg", None)
    monkeypatch.setattr(PydicomBackend, "missing", lambda self, syntax: f"install {self.package}")
    assert available()[f"{JPEG}90"].missing == "install the package imagecodecs"
    with pytest.raises(DecodeFailed, match="install the package imagecodecs; or install pyjpegls"):
        backend_for(f"{JPEG}80", samples_per_pixel=3)


@pytest.mark.parametrize("part", ["57", "70", "80", "90", "201", "202"])
def test_every_lossless_syntax_has_a_second_decoder(part) -> None:
    assert len({one.name for one in decoders_of(f"{JPEG}{part}")}) >= 2


def test_a_codecs_error_is_told_and_chained(monkeypatch) -> None:
    def broken(self: ImagecodecsBackend, message: object) -> np.ndarray:
        raise MemoryError("too much")

    monkeypatch.setattr(ImagecodecsBackend, "decode", broken)
    message = frame(b"", rows=1, columns=1, transfer_syntax_uid=f"{JPEG}90")
    with pytest.raises(DecodeFailed, match="MemoryError: too much") as caught:
        decode(message, max_frame_bytes=LIMIT)
    assert isinstance(caught.value.__cause__, MemoryError)


def test_threads_side_by_side_do_not_mix() -> None:
    names = ("SC_rgb_jpeg_gdcm.dcm", "SC_rgb_jpeg_dcmtk.dcm", "MR_small_RLE.dcm")
    messages = [next(messages_of(read(FILES / name))) for name in names] * 8
    alone = [decode(message, max_frame_bytes=LIMIT) for message in messages]
    with ThreadPoolExecutor(4) as pool:
        together = pool.map(lambda one: decode(one, max_frame_bytes=LIMIT), messages)
        for got, want in zip(together, alone, strict=True):
            np.testing.assert_array_equal(got, want)


def test_a_frame_cut_from_a_file_is_the_one_that_generate_frames_gives() -> None:
    ds = read(FILES / "examples_ybr_color.dcm")
    values = [message.value for message in messages_of(ds)]
    assert values == list(generate_frames(ds.PixelData, number_of_frames=30))
