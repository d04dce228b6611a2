"""Compressed pixels through pydicom, the plug-in pinned: the second decoder of each syntax.

Pinned, because pydicom otherwise tries every plug-in that it finds, in an order of its own, and
two of them may differ in a lossy frame.
"""

from __future__ import annotations

import logging
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydicom.pixels.decoders.base import get_decoder

from engine.decode.checks import fitting, shape_of
from engine.decode.syntaxes import HTJ2K, JPEG_2000, JPEG_LOSSLESS, JPEG_LOSSY, JPEG_LS, RLE
from engine.decode.vetting import photometric, vetted
from engine.messages import FrameMessage

logging.getLogger("pydicom").setLevel(logging.CRITICAL)  # its records quote identifiers

_NO_OFFSETS = b"\xfe\xff\x00\xe0\x00\x00\x00\x00"  # an empty Basic Offset Table (PS3.5 A.4)
_DELIMITER = b"\xfe\xff\xdd\xe0\x00\x00\x00\x00"


@dataclass(frozen=True)
class PydicomBackend:
    """One decoding plug-in of pydicom and the transfer syntaxes for which it is used."""

    name: str
    plugin: str
    package: str
    syntaxes: frozenset[str]
    most_samples: int = 4

    def missing(self, syntax: str) -> str | None:
        """Return what to install before `syntax` can be decoded, or None."""
        if self.plugin in get_decoder(syntax).available_plugins:
            return None
        return f"install the package {self.package}"

    def decode(self, message: FrameMessage) -> np.ndarray:
        """Return stored values in an array of their own."""
        info = message.info
        options: dict[str, Any] = {  # pydicom 3.0.2 annotates `**kwargs` wrongly
            "rows": info.rows,
            "columns": info.columns,
            "samples_per_pixel": info.samples_per_pixel,
            "number_of_frames": 1,
            "bits_allocated": info.bits_allocated,
            "bits_stored": info.bits_stored,
            "pixel_representation": info.pixel_representation,
            "photometric_interpretation": photometric(vetted(message.value, info), info),
            "planar_configuration": info.planar_configuration,
        }
        pixels, _ = get_decoder(info.transfer_syntax_uid).as_array(
            _encapsulated(message.value),
            index=0,
            raw=True,
            validate=False,  # done in `vetted`, without pydicom's warnings
            decoding_plugin=self.plugin,
            **options,
        )
        return fitting(pixels.reshape(shape_of(info)), info)


def _encapsulated(value: bytes) -> bytes:
    """Return the frame as the Pixel Data element of a one-frame object holds it (PS3.5 A.4)."""
    padding = b"\x00" * (len(value) % 2)
    item = struct.pack("<4sL", b"\xfe\xff\x00\xe0", len(value) + len(padding))
    return b"".join((_NO_OFFSETS, item, value, padding, _DELIMITER))


BACKENDS = (
    PydicomBackend("pylibjpeg-rle", "pylibjpeg", "pylibjpeg-rle", frozenset({RLE})),
    # JPEG Extended of 8 bits only: 12 are refused by pydicom.
    PydicomBackend("gdcm", "gdcm", "python-gdcm", JPEG_LOSSY | JPEG_LOSSLESS),
    PydicomBackend("pyjpegls", "pyjpegls", "pyjpegls", JPEG_LS),
    PydicomBackend("pylibjpeg-openjpeg", "pylibjpeg", "pylibjpeg-openjpeg", JPEG_2000 | HTJ2K),
)
