"""Every form in which scanners write pixels comes back bit for bit, through `scanstream inspect`.

Objects are made here, by encoders that are not the engine's decoders. What a lossy encoder left is
told by a second decoder.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from dicom_objects import BIG_ENDIAN, DEFLATED, EXPLICIT, IMPLICIT, RLE, build, file_of, fragments
from pydicom import dcmread
from pydicom.encaps import encapsulate_extended
from pydicom.pixels.encoders.base import get_encoder
from second_decoders import LOSSY, second_frames, sha256

from engine.cli.inspect import Inspected, decoded, inspect
from engine.config import Settings
from engine.ingest.validate import read_file

JPEG = "1.2.840.10008.1.2.4."
SHAPE = (40, 56)
DEPTHS = [(8, False), (8, True), (12, False), (12, True), (16, False), (16, True)]
COLOURS = ["RGB", "YBR_FULL"]


def grey(bits: int, signed: bool) -> np.ndarray:
    """Return values of the whole range of `bits`: a ramp with some noise, that wraps around."""
    noise = np.random.default_rng(0).integers(0, 9, SHAPE)
    values = (np.indices(SHAPE).sum(axis=0) * 7 + noise) % (1 << bits)
    values[0, :2] = 0, (1 << bits) - 1
    lowest = 1 << (bits - 1) if signed else 0
    return (values - lowest).astype(f"{'ui'[signed]}{(bits + 7) // 8}")


def colour() -> np.ndarray:
    return np.stack([grey(8, False) // part for part in (1, 2, 3)], axis=-1)


def module(pixels: np.ndarray, bits: int, **changes: Any) -> dict[str, Any]:
    """Return the pixel module of one frame."""
    samples = pixels.shape[2] if pixels.ndim == 3 else 1
    return {
        "Rows": pixels.shape[0],
        "Columns": pixels.shape[1],
        "SamplesPerPixel": samples,
        "PhotometricInterpretation": "MONOCHROME2" if samples == 1 else "RGB",
        **({} if samples == 1 else {"PlanarConfiguration": 0}),
        "BitsAllocated": pixels.itemsize * 8,
        "BitsStored": bits,
        "HighBit": bits - 1,
        "PixelRepresentation": int(pixels.dtype.kind == "i"),
        **changes,
    }


def written(folder: Path, syntax: str, value: bytes, **changes: Any) -> tuple[Path, Inspected]:
    """Write an object with `value` as its PixelData, inspect it, and hold that it decodes."""
    ds = build(**changes, PixelData=value + b"\0" * (len(value) % 2))
    ds["PixelData"].VR = "OB" if syntax.startswith(JPEG) or syntax == RLE else "OW"
    ds["PixelData"].is_undefined_length = ds["PixelData"].VR == "OB"
    path = folder / "one.dcm"
    path.write_bytes(file_of(ds, syntax))
    found = inspect(path, Settings())
    assert found.error is None
    return path, found


def pydicom_encoded(pixels: np.ndarray, syntax: str, plugin: str, bits: int, **extra: Any) -> bytes:
    samples = pixels.shape[2] if pixels.ndim == 3 else 1
    return get_encoder(syntax).encode(
        pixels,
        encoding_plugin=plugin,
        rows=pixels.shape[0],
        columns=pixels.shape[1],
        samples_per_pixel=samples,
        photometric_interpretation="MONOCHROME2" if samples == 1 else "RGB",
        bits_allocated=pixels.itemsize * 8,
        bits_stored=bits,
        pixel_representation=int(pixels.dtype.kind == "i"),
        number_of_frames=1,
        planar_configuration=0,
        **extra,
    )


def encoded(pixels: np.ndarray, syntax: str, bits: int) -> bytes:
    """Return one frame in a compressed transfer syntax."""
    part = syntax.removeprefix(JPEG)
    unsigned = pixels.view(f"u{pixels.itemsize}") & ((1 << bits) - 1)
    if syntax == RLE:
        return pydicom_encoded(pixels, syntax, "pydicom", bits)
    if part in ("57", "70"):
        return imagecodecs.jpeg8_encode(unsigned, lossless=True, predictor=1, bitspersample=bits)
    if part in ("50", "51"):
        return imagecodecs.jpeg8_encode(pixels, level=80, bitspersample=bits)
    if part in ("80", "81"):
        error = {"jls_error": 2} if part == "81" else {}
        return pydicom_encoded(pixels, syntax, "pyjpegls", bits, **error)
    exact = part not in ("91", "203")
    if part in ("90", "91"):
        level = None if exact else 40
        return imagecodecs.jpeg2k_encode(
            pixels, level, codecformat="J2K", reversible=exact, bitspersample=bits, mct=False
        )
    return imagecodecs.htj2k_encode(pixels, None if exact else 0.001, reversible=exact)


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG_ENDIAN, DEFLATED])
@pytest.mark.parametrize(("bits", "signed"), DEPTHS)
def test_native(syntax: str, bits: int, signed: bool, tmp_path: Path) -> None:
    pixels = grey(bits, signed)
    wide = pixels.astype(pixels.dtype.newbyteorder(">" if syntax == BIG_ENDIAN else "<"))
    value = wide.tobytes()
    if syntax == BIG_ENDIAN and bits == 8:  # bytes in words (PS3.5 A.3)
        value = np.frombuffer(value, np.uint16).byteswap().tobytes()
    _, found = written(tmp_path, syntax, value, **module(pixels, bits))
    assert (found.shape, found.dtype) == (SHAPE, str(pixels.dtype))
    assert found.sha256 == sha256(pixels)


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG_ENDIAN, DEFLATED])
def test_native_single_bits(syntax: str, tmp_path: Path) -> None:
    pixels = (grey(8, False) & 1).astype(np.uint8)
    value = np.packbits(pixels, bitorder="little").tobytes()
    if syntax == BIG_ENDIAN:
        value = np.frombuffer(value, np.uint16).byteswap().tobytes()
    changes = {"BitsAllocated": 1, "BitsStored": 1, "HighBit": 0}
    _, found = written(tmp_path, syntax, value, **module(pixels, 1, **changes))
    assert found.sha256 == sha256(pixels)


LOSSLESS = [RLE, *(JPEG + part for part in ("57", "70", "80", "90", "201", "202"))]


@pytest.mark.parametrize("syntax", LOSSLESS, ids=lambda uid: "." + uid.split(".")[-1])
@pytest.mark.parametrize(("bits", "signed"), DEPTHS)
def test_lossless(syntax: str, bits: int, signed: bool, tmp_path: Path) -> None:
    pixels = grey(bits, signed)
    value = fragments(_even(encoded(pixels, syntax, bits)), end=False)
    _, found = written(tmp_path, syntax, value, **module(pixels, bits))
    assert (found.shape, found.dtype) == (SHAPE, str(pixels.dtype))
    assert found.sha256 == sha256(pixels)


@pytest.mark.parametrize(
    ("part", "bits"), [("50", 8), ("51", 8), ("51", 12), ("81", 8), ("81", 16), ("91", 8),
                       ("91", 16), ("203", 8), ("203", 16)]
)  # fmt: skip
def test_lossy(part: str, bits: int, tmp_path: Path) -> None:
    pixels, syntax = grey(bits, False), JPEG + part
    value = fragments(_even(encoded(pixels, syntax, bits)), end=False)
    path, found = written(tmp_path, syntax, value, **module(pixels, bits))
    assert (found.shape, found.dtype) == (SHAPE, str(pixels.dtype))
    theirs = second_frames(path, found.decoder)
    ours = next(decoded(read_file(path.read_bytes()), Settings()))
    assert np.abs(ours.astype(int) - theirs).max() <= (syntax in LOSSY)
    assert np.median(np.abs(ours.astype(int) - pixels)) <= 2 ** max(1, bits - 6)


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "PALETTE COLOR"])
def test_what_one_sample_means_changes_nothing(photometric: str, tmp_path: Path) -> None:
    pixels = grey(8, False)
    changes = module(pixels, 8, PhotometricInterpretation=photometric)
    _, found = written(tmp_path, EXPLICIT, pixels.tobytes(), **changes)
    assert found.sha256 == sha256(pixels)


@pytest.mark.parametrize("photometric", COLOURS)
@pytest.mark.parametrize("planar", [0, 1])
@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, DEFLATED])
def test_native_colour(photometric: str, planar: int, syntax: str, tmp_path: Path) -> None:
    pixels = colour()
    value = (pixels.transpose(2, 0, 1) if planar else pixels).tobytes()
    changes = {"PhotometricInterpretation": photometric, "PlanarConfiguration": planar}
    _, found = written(tmp_path, syntax, value, **module(pixels, 8, **changes))
    assert found.shape == (*SHAPE, 3)
    assert found.sha256 == sha256(pixels)


def test_native_subsampled_colour(tmp_path: Path) -> None:
    pixels = colour()
    pixels[:, 1::2, 1:] = pixels[:, ::2, 1:]
    pairs = pixels.reshape(-1, 2, 3)
    value = np.concatenate([pairs[:, :, 0], pairs[:, 0, 1:]], axis=1).tobytes()
    changes = module(pixels, 8, PhotometricInterpretation="YBR_FULL_422")
    _, found = written(tmp_path, EXPLICIT, value, **changes)
    assert found.sha256 == sha256(pixels)


@pytest.mark.parametrize("photometric", COLOURS)
@pytest.mark.parametrize("planar", [0, 1])  # of no account in what is compressed (C.7.6.3.1.3)
@pytest.mark.parametrize("part", ["RLE", "70", "80", "90", "201"])
def test_lossless_colour(photometric: str, planar: int, part: str, tmp_path: Path) -> None:
    syntax = RLE if part == "RLE" else JPEG + part
    pixels = colour()
    if part == "70":
        value = imagecodecs.jpeg8_encode(
            pixels, colorspace="RGB", outcolorspace="RGB", lossless=True, predictor=1
        )
    else:
        value = encoded(pixels, syntax, 8)
    changes = {"PhotometricInterpretation": photometric, "PlanarConfiguration": planar}
    value = fragments(_even(value), end=False)
    _, found = written(tmp_path, syntax, value, **module(pixels, 8, **changes))
    assert found.sha256 == sha256(pixels)


def test_reversible_colour_transform_is_undone(tmp_path: Path) -> None:
    """YBR_RCT: the codestream's own transform, which every decoder undoes (PS3.5 8.2.4)."""
    pixels = colour()
    value = imagecodecs.jpeg2k_encode(pixels, codecformat="J2K", reversible=True, mct=True)
    changes = module(pixels, 8, PhotometricInterpretation="YBR_RCT")
    _, found = written(tmp_path, JPEG + "90", fragments(_even(value), end=False), **changes)
    assert found.sha256 == sha256(pixels)


@pytest.mark.parametrize("table", ["none", "basic", "one frame"])
@pytest.mark.parametrize("part", ["70", "80", "90", "201"])
def test_frames_over_many_fragments(table: str, part: str, tmp_path: Path) -> None:
    frames = [grey(12, False), grey(12, False)[::-1].copy()][: 1 if table == "one frame" else 2]
    split = [_pieces(_even(encoded(one, JPEG + part, 12))) for one in frames]
    second = sum(8 + len(piece) for piece in split[0])
    basic = struct.pack("<LL", 0, second) if table == "basic" else b""
    value = fragments(*(piece for pieces in split for piece in pieces), table=basic, end=False)
    changes = module(frames[0], 12, NumberOfFrames=len(frames))
    _, found = written(tmp_path, JPEG + part, value, **changes)
    assert found.sha256 == sha256(np.stack(frames))


def test_extended_offset_table(tmp_path: Path) -> None:
    frames = [grey(12, False), grey(12, False)[::-1].copy()]
    value, offsets, lengths = encapsulate_extended([encoded(one, RLE, 12) for one in frames])
    tables = {"ExtendedOffsetTable": offsets, "ExtendedOffsetTableLengths": lengths}
    changes = module(frames[0], 12, NumberOfFrames=2, **tables)
    path, found = written(tmp_path, RLE, value, **changes)
    assert "ExtendedOffsetTable" in dcmread(path)
    assert found.shape == (2, *SHAPE)
    assert found.sha256 == sha256(np.stack(frames))


@pytest.mark.parametrize("table", [(4, 8), (0, 2**32 - 2), (8, 0), (0, 0)])
def test_wrong_offset_table_is_refused(table: tuple[int, int], tmp_path: Path) -> None:
    pieces = [_even(encoded(grey(8, False), RLE, 8))] * 2
    value = fragments(*pieces, table=struct.pack("<LL", *table), end=False)
    ds = build(**module(grey(8, False), 8, NumberOfFrames=2), PixelData=value)
    ds["PixelData"].VR, ds["PixelData"].is_undefined_length = "OB", True
    path = tmp_path / "wrong.dcm"
    path.write_bytes(file_of(ds, RLE))
    found = inspect(path, Settings())
    assert found.error == "the offset table of PixelData does not point at its fragments"


def _even(value: bytes) -> bytes:
    return value + b"\0" * (len(value) % 2)


def _pieces(value: bytes) -> list[bytes]:
    """Return the value in three parts of even length."""
    third = len(value) // 6 * 2
    return [value[:third], value[third : 2 * third], value[2 * third :]]
