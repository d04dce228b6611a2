"""`scanstream inspect` agrees with pydicom's raw pixels on every file that pydicom decodes."""

from __future__ import annotations

import hashlib
import warnings
from importlib import resources
from pathlib import Path

import numpy as np
import pydicom.data
import pytest
from dicom_objects import BIG_ENDIAN, EXPLICIT, build, file_of
from pydicom import dcmread
from pydicom.errors import InvalidDicomError
from pydicom.pixels import pixel_array

from engine.cli.inspect import inspect
from engine.config import Settings
from engine.errors import RejectedInstance
from engine.ingest.validate import read_file

FOLDERS = (
    Path(pydicom.data.__file__).parent / "test_files",
    Path(str(resources.files("data_store"))) / "data",  # the package pydicom-data
)
SHIPPED = sorted(
    path
    for folder in FOLDERS
    for path in folder.rglob("*")
    if path.is_file() and b"DICM" in path.read_bytes()[128:132]
)
# What neither decodes: without pixels, or damaged, or without a decoder in this environment.
NEITHER = {
    "JPEG-lossy.dcm": "JPEG Extended of 12 bits",
    "JPEG2000-embedded-sequence-delimiter.dcm": "its SIZ was overwritten, on purpose",
    "JPGExtended.dcm": "JPEG Extended of 12 bits",
    "MR_truncated.dcm": "its pixels are cut off, on purpose",
    "badVR.dcm": "NumberOfFrames is not a number",
    "emri_small_jpeg_2k_lossless_too_short.dcm": "its pixels are cut off, on purpose",
    "meta_missing_tsyntax.dcm": "no TransferSyntaxUID",
    "nested_priv_SQ.dcm": "no Image Pixel module",
}


def pydicom_sha256(path: Path) -> str | None:
    """SHA-256 of every frame as pydicom decodes it, raw and little-endian; None if it does not."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            frames = pixel_array(dcmread(path), raw=True)
        except (AttributeError, RuntimeError, ValueError, InvalidDicomError):
            return None
    little = np.asarray(frames, frames.dtype.newbyteorder("<"))
    return hashlib.sha256(little.tobytes()).hexdigest()


def has_pixels(path: Path) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return "PixelData" in dcmread(path, specific_tags=["PixelData"])


def test_both_packages_are_looked_at() -> None:
    names = {path.name for path in SHIPPED}
    assert len(names) > 150
    assert {"CT_small.dcm", "693_J2KR.dcm"} <= names
    assert set(NEITHER) <= names


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_agrees_with_pydicom(path: Path) -> None:
    found, wanted = inspect(path, Settings()), pydicom_sha256(path)
    if wanted is None and path.name not in NEITHER:
        assert not has_pixels(path), "pydicom decodes it no longer: say why in NEITHER"
    assert (found.sha256 or None) == wanted, found.error
    assert found.ok is (wanted is not None) is (found.error is None)


@pytest.mark.parametrize(
    "name", ["JPEGLSNearLossless_08.dcm", "liver_1frame.dcm", "RG1_UNCR.dcm", "SC_rgb_jpeg.dcm"]
)
def test_what_inspect_forgives_the_gateway_refuses(name: str) -> None:
    (path,) = (path for path in SHIPPED if path.name == name)
    with pytest.raises(RejectedInstance):
        read_file(path.read_bytes())
    assert inspect(path, Settings()).ok


@pytest.mark.parametrize(
    ("bits", "vr", "syntax"),
    [(1, "OB", EXPLICIT), (8, "OW", BIG_ENDIAN), (8, "OB", BIG_ENDIAN), (8, "OB", EXPLICIT)],
)
def test_frames_that_begin_inside_a_byte_or_a_word(
    bits: int, vr: str, syntax: str, tmp_path: Path
) -> None:
    size = {"Rows": 3, "Columns": 5, "NumberOfFrames": 5}
    depth = {"BitsAllocated": bits, "BitsStored": bits, "HighBit": bits - 1}
    length = (3 * 5 * 5 * bits + 15) // 16 * 2
    value = np.random.default_rng(0).integers(0, 256, length, np.uint8).tobytes()
    ds = build(**size, **depth, PixelData=value)
    ds["PixelData"].VR = vr
    path = tmp_path / "odd.dcm"
    path.write_bytes(file_of(ds, syntax))
    found = inspect(path, Settings())
    assert found.error is None
    assert found.shape == (5, 3, 5)
    assert found.sha256 == pydicom_sha256(path)
