"""Compressed pixels through pydicom, the plug-in pinned for each transfer syntax.

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

from engine.decode import codestream
from engine.decode.checks import only_stored_bits, shape_of
from engine.errors import DecodeFailed
from engine.messages import FrameInfo, FrameMessage

logging.getLogger("pydicom").setLevel(logging.CRITICAL)  # its records quote identifiers

RLE = "1.2.840.10008.1.2.5"
_JPEG = "1.2.840.10008.1.2.4."
_EXTENDED = _JPEG + "51"
_JPEG_LS = frozenset({_JPEG + "80", _JPEG + "81"})
_J2K = frozenset(_JPEG + part for part in ("90", "91", "201", "202", "203"))
_FRAME_TYPES = {  # the SOF markers that a syntax allows (PS3.5 8.2.1, 8.2.3)
    _JPEG + "50": {0xC0},
    _EXTENDED: {0xC0, 0xC1},
    _JPEG + "57": {0xC3},
    _JPEG + "70": {0xC3},
    _JPEG + "80": {0xF7},
    _JPEG + "81": {0xF7},
}
_NO_OFFSETS = b"\xfe\xff\x00\xe0\x00\x00\x00\x00"  # an empty Basic Offset Table (PS3.5 A.4)
_DELIMITER = b"\xfe\xff\xdd\xe0\x00\x00\x00\x00"


@dataclass(frozen=True)
class PydicomBackend:
    """One decoding plug-in of pydicom and the transfer syntaxes for which it is used."""

    name: str
    plugin: str
    package: str
    syntaxes: frozenset[str]

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
            "photometric_interpretation": _check(message.value, info),
            "planar_configuration": info.planar_configuration,
        }
        pixels, _ = get_decoder(info.transfer_syntax_uid).as_array(
            _encapsulated(message.value),
            index=0,
            raw=True,
            validate=False,  # done in `_check`, without pydicom's warnings
            decoding_plugin=self.plugin,
            **options,
        )
        pixels = pixels.reshape(shape_of(info))
        if only_stored_bits(pixels, info) is not pixels:
            raise DecodeFailed(f"values of the codestream do not fit BitsStored {info.bits_stored}")
        return pixels


def _encapsulated(value: bytes) -> bytes:
    """Return the frame as the Pixel Data element of a one-frame object holds it (PS3.5 A.4)."""
    padding = b"\x00" * (len(value) % 2)
    item = struct.pack("<4sL", b"\xfe\xff\x00\xe0", len(value) + len(padding))
    return b"".join((_NO_OFFSETS, item, value, padding, _DELIMITER))


def _check(value: bytes, info: FrameInfo) -> str:
    """Refuse what the decoders must not see; return the photometric interpretation to decode by."""
    syntax = info.transfer_syntax_uid
    if syntax == RLE:
        codestream.check_rle(value, info)
        return info.photometric_interpretation
    if syntax in _J2K:
        found = codestream.read_j2k(value)
        codestream.check_matches(found, info)
        codestream.check_packets(value, found)
        codestream.check_complete(value)
        return info.photometric_interpretation
    found = codestream.read_jpeg(value)
    if syntax == _EXTENDED and found.precision != 8:
        raise DecodeFailed(
            "gdcm cannot decode JPEG Extended of 12 bits, and no other decoder is here"
        )
    if found.frame_type not in _FRAME_TYPES[syntax]:
        raise DecodeFailed(
            f"the codestream is of another kind (SOF marker 0x{found.frame_type:02X}) than its "
            "transfer syntax"
        )
    codestream.check_matches(found, info)
    codestream.check_complete(value)
    return _photometric(found, info)


def _photometric(found: codestream.Codestream, info: FrameInfo) -> str:
    """Return what pydicom would correct the interpretation to, so that it does not warn.

    Component ids in ASCII say RGB, a JFIF segment says YBR.
    """
    given = info.photometric_interpretation
    if info.samples_per_pixel != 3:
        return given
    if found.component_ids in (b"RGB", b"rgb"):
        return "RGB"
    if found.is_jfif and "YBR" not in given:
        return "YBR_FULL_422" if info.transfer_syntax_uid == _JPEG + "50" else "YBR_FULL"
    return given


BACKENDS = (
    PydicomBackend("pylibjpeg-rle", "pylibjpeg", "pylibjpeg-rle", frozenset({RLE})),
    PydicomBackend(
        "gdcm",
        "gdcm",
        "python-gdcm",
        frozenset(_JPEG + part for part in ("50", "51", "57", "70")),
    ),
    PydicomBackend("pyjpegls", "pyjpegls", "pyjpegls", _JPEG_LS),
    PydicomBackend("openjpeg", "pylibjpeg", "pylibjpeg-openjpeg", _J2K),
)
