"""What a user would pack a native frame with instead, and the real frames to pack.

The frames are all those of CT, MR and CR that pydicom and pydicom-data ship with 16 bits, stored
without loss and of 16 KiB at least; each picture once. Left out is one file whose header lies
about the sign. Every rival takes a frame's bytes and gives them back, on one thread.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import blosc2
import imagecodecs
import numpy as np
import zstandard
from msgspec.structs import replace
from pydicom.data import get_testdata_file

from engine.decode import decode
from engine.ingest.validate import read_file
from engine.messages import FrameInfo, FrameMessage

EXPLICIT = "1.2.840.10008.1.2.1"

FILES = {
    "ct": (
        "693_UNCR.dcm",
        "bad_sequence.dcm",
        "explicit_VR-UN.dcm",
        "CT_small.dcm",
        "eCT_Supplemental.dcm",  # two maps of perfusion, most of them empty
    ),
    "mr": ("MR2_UNCR.dcm", "MR-SIEMENS-DICOM-WithOverlays.dcm", "examples_overlay.dcm"),
    "cr": ("RG1_UNCR.dcm", "RG3_UNCR.dcm"),
}


class Frame(NamedTuple):
    """One native frame: where it is from, its header, and its bytes."""

    name: str
    modality: str
    info: FrameInfo
    value: bytes

    @property
    def pixels(self) -> np.ndarray[Any, np.dtype[Any]]:
        """The frame as an array, (rows, columns)."""
        dtype = "<i2" if self.info.pixel_representation else "<u2"
        return np.frombuffer(self.value, dtype).reshape(self.info.rows, self.info.columns)


class Packer(NamedTuple):
    """One way to pack a frame; `unpack` returns something that holds the frame's bytes."""

    pack: Callable[[Frame], bytes]
    unpack: Callable[[Frame, bytes], Any]


@cache
def frames(modality: str = "") -> list[Frame]:
    """Return the frames of a modality, of all for an empty one; compressed ones are decoded."""
    found = []
    for one, names in FILES.items():
        for name in names if modality in ("", one) else ():
            path = get_testdata_file(name)
            if not isinstance(path, str):
                raise FileNotFoundError(f"{name}: install pydicom-data 1.0.0")
            instance = read_file(Path(path).read_bytes(), pixels_only=True)
            found += [_native(name, one, info, bytes(value)) for info, value in instance]
    return found


def _native(name: str, modality: str, info: FrameInfo, value: bytes) -> Frame:
    message = FrameMessage(
        info=info,
        value=value,
        source="",
        time="",
        traceparent="",
        accepted_ns=0,
        deadline_ms=0,
    )
    pixels = decode(message, max_frame_bytes=2**26)
    return Frame(name, modality, replace(info, transfer_syntax_uid=EXPLICIT), pixels.tobytes())


def zstd(level: int = 3) -> Packer:
    """zstd on the raw pixels, as its Python package does it by default."""
    writer, reader = zstandard.ZstdCompressor(level=level), zstandard.ZstdDecompressor()
    return Packer(
        lambda frame: writer.compress(frame.value), lambda _, packed: reader.decompress(packed)
    )


def blosc() -> Packer:
    """Blosc2's byte shuffle and zstd at its own default level, 5."""
    options = {
        "codec": blosc2.Codec.ZSTD,
        "clevel": 5,
        "typesize": 2,
        "filters": [blosc2.Filter.SHUFFLE],
        "nthreads": 1,
    }
    return Packer(
        lambda frame: blosc2.compress2(frame.value, **options),
        lambda _, packed: blosc2.decompress2(packed, nthreads=1),
    )


def htj2k() -> Packer:
    """High-throughput JPEG 2000, reversible (imagecodecs, OpenJPH)."""
    return Packer(
        lambda frame: bytes(imagecodecs.htj2k_encode(frame.pixels, reversible=True)),
        lambda _, packed: imagecodecs.htj2k_decode(packed),
    )


def bytes_of(unpacked: Any) -> bytes:
    """Return the frame's bytes from what `unpack` gave."""
    return unpacked.tobytes() if isinstance(unpacked, np.ndarray) else bytes(unpacked)
