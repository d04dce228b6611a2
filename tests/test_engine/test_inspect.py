"""`scanstream inspect` agrees with pydicom's raw pixels on every file that decodes."""

from __future__ import annotations

import hashlib
import warnings
from pathlib import Path

import numpy as np
import pydicom.data
import pytest
from pydicom import dcmread
from pydicom.pixels import pixel_array

from engine.cli.inspect import inspect
from engine.config import Settings

SHIPPED = sorted((Path(pydicom.data.__file__).parent / "test_files").glob("*.dcm"))


def pydicom_sha256(path: Path) -> str:
    """SHA-256 of every frame as pydicom decodes it, raw and little-endian."""
    checksum = hashlib.sha256()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        frames = pixel_array(dcmread(path), raw=True)
    checksum.update(np.asarray(frames, frames.dtype.newbyteorder("<")).tobytes())
    return checksum.hexdigest()


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_agrees_with_pydicom(path: Path) -> None:
    found = inspect(path, Settings())
    if found.ok:
        assert found.sha256 == pydicom_sha256(path)
    else:
        assert found.error
