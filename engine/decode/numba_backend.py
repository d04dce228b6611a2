"""Decoders of our own, compiled by Numba: memory-safe, and without the GIL."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.decode import codestream
from engine.decode.bodies import packbits
from engine.decode.checks import (
    as_promised,
    dtype_of,
    extend_sign,
    fitting,
    only_stored_bits,
    shape_of,
)
from engine.decode.jpeg_lossless import decode_jpeg_lossless
from engine.decode.jpeg_ls import decode_jpeg_ls
from engine.decode.syntaxes import JPEG_LOSSLESS, JPEG_LS, RLE
from engine.decode.vetting import vetted
from engine.errors import DecodeFailed
from engine.messages import FrameInfo, FrameMessage

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class NumbaBackend:
    """One compiled decoder and the transfer syntaxes for which it is used."""

    name: str
    syntaxes: frozenset[str]
    values: Callable[[bytes, FrameInfo], Array]
    most_samples: int = 4

    def missing(self, syntax: str) -> str | None:
        """Nothing is ever missing: the project does not run without Numba."""
        return None

    def decode(self, message: FrameMessage) -> Array:
        """Return stored values in an array of their own."""
        return self.values(message.value, message.info)


def _rle(value: bytes, info: FrameInfo) -> Array:
    segments = np.array(codestream.rle_segments(value, info), np.int64)
    data = np.frombuffer(value, np.uint8)
    dtype, pixels = dtype_of(info), info.rows * info.columns
    out = np.empty((pixels, info.samples_per_pixel, dtype.itemsize), np.uint8)
    made = packbits.decode(data, segments, out)
    if made != pixels:
        raise DecodeFailed(f"a segment of the RLE frame holds {made} values, not {pixels}")
    stored = out.reshape(-1).view(dtype.newbyteorder("<"))
    return only_stored_bits(stored.astype(dtype, copy=False).reshape(shape_of(info)), info)


def _jpeg_lossless(value: bytes, info: FrameInfo) -> Array:
    """Values are unsigned, whatever they mean; bits above HighBit are no part of them."""
    values = decode_jpeg_lossless(value, vetted(value, info)).reshape(shape_of(info))
    return only_stored_bits(as_promised(values, info), info)


def _jpeg_ls(value: bytes, info: FrameInfo) -> Array:
    """Values are unsigned; a negative one is a two's complement of the precision's width."""
    found = vetted(value, info)
    values = as_promised(decode_jpeg_ls(value, found), info)
    if info.pixel_representation:
        extend_sign(values, found.precision)
    return fitting(values, info)


BACKENDS = (
    NumbaBackend("numba-rle", frozenset({RLE}), _rle),
    NumbaBackend("numba-jpeg-lossless", JPEG_LOSSLESS, _jpeg_lossless),
    NumbaBackend("numba-jpeg-ls", JPEG_LS, _jpeg_ls, most_samples=1),
)
