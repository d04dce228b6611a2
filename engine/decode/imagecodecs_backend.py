"""Compressed pixels through the codecs of the package imagecodecs, called without a detour.

They are libjpeg-turbo (JPEG of 2 to 16 bits, with and without loss), CharLS (JPEG-LS), OpenJPEG
(JPEG 2000) and OpenJPH (HTJ2K). Values come out as they were coded: colour is never converted but
by the transforms that JPEG 2000 itself has (RCT, ICT).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np

from engine.decode import codestream
from engine.decode.checks import as_promised, extend_sign, fitting, only_stored_bits, shape_of
from engine.decode.codestream import Codestream
from engine.decode.syntaxes import HTJ2K, JPEG_2000, JPEG_LOSSLESS, JPEG_LOSSY, JPEG_LS
from engine.decode.vetting import vetted
from engine.messages import FrameInfo, FrameMessage

imagecodecs: Any
try:
    imagecodecs = import_module("imagecodecs")
except ImportError:  # told by `missing`
    imagecodecs = None

Array = np.ndarray[Any, np.dtype[Any]]
_COLOURS = {1: "GRAYSCALE", 2: "UNKNOWN", 3: "RGB", 4: "CMYK"}


@dataclass(frozen=True)
class ImagecodecsBackend:
    """One codec of imagecodecs (`codec` is its name there), and its transfer syntaxes."""

    name: str
    codec: str
    syntaxes: frozenset[str]
    values: Callable[[bytes, Codestream, FrameInfo], Array]
    most_samples: int = 4

    def missing(self, syntax: str) -> str | None:
        """Return what to install before `syntax` can be decoded, or None."""
        if imagecodecs is None:
            return "install the package imagecodecs"
        if not getattr(imagecodecs, self.codec).available:
            return f"install a build of imagecodecs that has {self.codec}"
        return None

    def decode(self, message: FrameMessage) -> Array:
        """Return stored values in an array of their own."""
        found = vetted(message.value, message.info)
        return self.values(message.value, found, message.info)


def _jpeg(value: bytes, found: Codestream, info: FrameInfo) -> Array:
    """Values are unsigned, whatever they mean; bits above HighBit are no part of them."""
    colour = _COLOURS[found.samples]
    raw = imagecodecs.jpeg8_decode(
        value, colorspace=colour, outcolorspace=colour, out=_empty(found, info)
    )
    return only_stored_bits(as_promised(raw, info), info)


def _jpeg_ls(value: bytes, found: Codestream, info: FrameInfo) -> Array:
    """Values are unsigned; a negative one is a two's complement of the precision's width."""
    planar = found.samples > 1 and codestream.is_planar_jpeg_ls(value)
    raw = imagecodecs.jpegls_decode(value, out=_empty(found, info, planar=planar))
    values = as_promised(raw, info)
    if info.pixel_representation:
        extend_sign(values, found.precision)
    return fitting(values, info)


def _jpeg_2000(value: bytes, found: Codestream, info: FrameInfo) -> Array:
    raw = imagecodecs.jpeg2k_decode(value, out=_empty(found, info), numthreads=1)
    return _signed_as_promised(raw, found, info)


def _htj2k(value: bytes, found: Codestream, info: FrameInfo) -> Array:
    raw = imagecodecs.htj2k_decode(value, out=_empty(found, info))
    return _signed_as_promised(raw, found, info)


def _signed_as_promised(raw: Array, found: Codestream, info: FrameInfo) -> Array:
    """Codestream and header may differ in the sign: the bits are meant (PS3.5 8.2.4)."""
    values = as_promised(raw, info)
    if found.is_signed != bool(info.pixel_representation):
        extend_sign(values, found.precision)
    return fitting(values, info)


def _empty(found: Codestream, info: FrameInfo, *, planar: bool = False) -> Array:
    """Return room for what the codec makes, so that it cannot make anything larger.

    The codecs return an array with the samples last, a view of planes where it is `planar`.
    """
    width = 1 if found.precision <= 8 else 2 if found.precision <= 16 else 4
    rows_columns, samples = shape_of(info)[:2], shape_of(info)[2:]
    shape = samples + rows_columns if planar else rows_columns + samples
    return np.empty(shape, f"{'ui'[found.is_signed]}{width}")


BACKENDS = (
    ImagecodecsBackend("libjpeg-turbo", "JPEG8", JPEG_LOSSY | JPEG_LOSSLESS, _jpeg),
    ImagecodecsBackend("charls", "JPEGLS", JPEG_LS, _jpeg_ls),
    ImagecodecsBackend("openjph", "HTJ2K", HTJ2K, _htj2k),
    ImagecodecsBackend("openjpeg", "JPEG2K", JPEG_2000 | HTJ2K, _jpeg_2000),
)
