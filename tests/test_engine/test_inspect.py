"""`scanstream inspect` on every file of pydicom, pydicom-data and deid-data.

Each is bit-exact by a second decoder, close to it where the syntax is lossy, or refused with the
reason that is written here: a file that fails anew, or decodes anew, fails its test.
"""

from __future__ import annotations

import functools
import warnings
from importlib import resources
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from dicom_objects import BIG_ENDIAN, EXPLICIT, build, file_of
from pydicom import dcmread
from second_decoders import LOSSY, second_frames, sha256

from engine.cli.inspect import Inspected, decoded, inspect
from engine.config import Settings
from engine.errors import RejectedInstance
from engine.ingest.validate import read_file

PACKAGES = {  # distribution: where its files are
    "pydicom": resources.files("pydicom") / "data",
    "pydicom-data": resources.files("data_store"),
    "deid-data": resources.files("deid_data"),
}


def shipped() -> dict[str, Path]:
    """Return every DICOM file of the packages, and what is only called one, by package and name."""
    found = {}
    for package, folder in PACKAGES.items():
        root = Path(str(folder))
        for path in sorted(root.rglob("*")):
            if path.is_file() and (path.suffix == ".dcm" or _preamble(path) == b"DICM"):
                found[f"{package}/{path.relative_to(root)}"] = path
    return found


def _preamble(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(132)[128:]


SHIPPED = shipped()
# What cannot be decoded though it has pixels, or cannot be read at all, and the words for it.
REFUSED = {
    "pydicom/palettes/winter.dcm": "a data element occurs twice",
    "pydicom/test_files/ExplVR_BigEndNoMeta.dcm": "no DICM after a preamble",
    "pydicom/test_files/ExplVR_LitEndNoMeta.dcm": "no DICM after a preamble",
    "pydicom/test_files/JPEG2000-embedded-sequence-delimiter.dcm": "the codestream is 1024 x",
    "pydicom/test_files/MR_truncated.dcm": "PixelData is cut short",
    "pydicom/test_files/UN_sequence.dcm": "not encoded in its transfer syntax",
    "pydicom/test_files/badVR.dcm": "NumberOfFrames is not a finite number",
    "pydicom/test_files/meta_missing_tsyntax.dcm": "no TransferSyntaxUID",
    "pydicom/test_files/nested_priv_SQ.dcm": "not encoded in its transfer syntax",
    "pydicom/test_files/no_meta.dcm": "no DICM after a preamble",
    "pydicom/test_files/priv_SQ.dcm": "not encoded in its transfer syntax",
    "pydicom/test_files/rtplan_truncated.dcm": "longer than the data set",
    "pydicom/test_files/rtstruct.dcm": "no DICM after a preamble",
    "pydicom-data/data/OT-PAL-8-face.dcm": "no DICM after a preamble",
    "pydicom-data/data/emri_small_jpeg_2k_lossless_too_short.dcm": "PixelData is cut short",
}
FRAMES = 3  # of a lossy cine that are compared
ROUNDING = 1  # how far two lossy decoders may be apart, in grey levels


@functools.cache
def settings() -> Settings:
    return Settings()


def reason(name: str) -> str | None:
    """Return the words of the refusal, or None for a file that decodes."""
    if name in REFUSED:
        return REFUSED[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        has_pixels = "PixelData" in dcmread(SHIPPED[name], specific_tags=["PixelData"])
    return None if has_pixels else "no pixels"


def test_all_three_packages_are_looked_at() -> None:
    count = {package: sum(n.startswith(package + "/") for n in SHIPPED) for package in PACKAGES}
    assert count == {"pydicom": 192, "pydicom-data": 68, "deid-data": 13}
    assert set(REFUSED) <= set(SHIPPED)


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_file(name: str) -> None:
    path = SHIPPED[name]
    found, words = inspect(path, settings()), reason(name)
    if words is not None:
        assert words in (found.error or "")
        assert not found.ok
        return
    assert found.error is None
    several = len(found.shape) == (4 if found.shape[-1] == 3 else 3)
    if found.transfer_syntax in LOSSY and several:
        _assert_close(path, found)
        return
    theirs = second_frames(path, found.decoder)
    assert (found.shape, found.dtype) == (theirs.shape, str(theirs.dtype.newbyteorder("=")))
    if found.sha256 != sha256(theirs):
        assert found.transfer_syntax in LOSSY
        _assert_close(path, found)


def _assert_close(path: Path, found: Inspected) -> None:
    """Hold the first frames of a lossy file against a second decoder's."""
    instance = read_file(path.read_bytes(), pixels_only=True)
    ours = np.stack([*islice(decoded(instance, settings()), FRAMES)])
    theirs = second_frames(path, found.decoder, len(ours)).reshape(ours.shape)
    assert ours.dtype == theirs.dtype
    assert np.abs(ours.astype(np.int64) - theirs).max() <= ROUNDING


@pytest.mark.parametrize(
    "name", ["JPEGLSNearLossless_08.dcm", "liver_1frame.dcm", "RG1_UNCR.dcm", "SC_rgb_jpeg.dcm"]
)
def test_what_inspect_forgives_the_gateway_refuses(name: str) -> None:
    (path,) = (path for path in SHIPPED.values() if path.name == name)
    with pytest.raises(RejectedInstance):
        read_file(path.read_bytes())
    assert inspect(path, settings()).ok


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
    found = inspect(path, settings())
    assert found.error is None
    assert found.shape == (5, 3, 5)
    assert found.sha256 == sha256(second_frames(path, found.decoder))
