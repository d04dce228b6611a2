"""Another decoder than the engine's, for every transfer syntax: what its pixels are held against.

Native pixels: pydicom and NumPy. Compressed ones: a library that the engine did not use for that
file, or its own build in another package (GDCM carries its own CharLS and OpenJPEG).
"""

from __future__ import annotations

import hashlib
import warnings
from pathlib import Path

import gdcm
import numpy as np
from pydicom import Dataset, dcmread
from pydicom.pixels.decoders.base import get_decoder

_JPEG = "1.2.840.10008.1.2.4."
LOSSY = frozenset(_JPEG + part for part in ("50", "51", "91", "203"))
_HTJ2K = frozenset(_JPEG + part for part in ("201", "202", "203"))
_RLE = "1.2.840.10008.1.2.5"


def second_frames(path: Path, not_by: str, count: int | None = None) -> np.ndarray:
    """Return the stored values of all, or of the first `count` frames; frames on axis 0 if several.

    `not_by` is the engine's decoder of the file.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's, about what the packages' files get wrong
        ds = dcmread(path)
        syntax = str(ds.file_meta.TransferSyntaxUID)
        if syntax == _JPEG + "51":
            return _gdcm_alone(path, ds)
        return _pydicom(ds, syntax, not_by, count)


def sha256(frames: np.ndarray) -> str:
    """Return the checksum of the values, raw and little-endian."""
    return hashlib.sha256(np.asarray(frames, frames.dtype.newbyteorder("<")).tobytes()).hexdigest()


def _pydicom(ds: Dataset, syntax: str, not_by: str, count: int | None) -> np.ndarray:
    options = {}
    if ds.file_meta.TransferSyntaxUID.is_encapsulated:
        options["decoding_plugin"] = _plugin(syntax, not_by)
    if count is None:
        return get_decoder(syntax).as_array(ds, raw=True, **options)[0]
    frames = get_decoder(syntax).iter_array(ds, raw=True, indices=range(count), **options)
    return np.stack([frame for frame, _ in frames])


def _plugin(syntax: str, not_by: str) -> str:
    if syntax == _RLE:
        return "pydicom"  # in Python alone
    if syntax in _HTJ2K:
        assert not_by != "openjpeg"
        return "pylibjpeg"  # OpenJPEG, where the engine has OpenJPH
    return "pillow" if not_by == "gdcm" else "gdcm"


def _gdcm_alone(path: Path, ds: Dataset) -> np.ndarray:
    """Return a single grey frame as GDCM reads the file: pydicom gives it no JPEG of 12 bits."""
    reader = gdcm.ImageReader()
    reader.SetFileName(str(path))
    assert reader.Read()
    value = reader.GetImage().GetBuffer().encode("utf-8", "surrogateescape")
    dtype = np.dtype(f"{'ui'[ds.PixelRepresentation]}{ds.BitsAllocated // 8}")
    return np.frombuffer(value, dtype).reshape(ds.Rows, ds.Columns)
