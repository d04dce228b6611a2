"""What is refused before anything is allocated, and what a decoded frame must be."""

from __future__ import annotations

import sys
from functools import lru_cache

import numpy as np

from engine.decode.bodies.spill import any_bit
from engine.errors import DecodeFailed
from engine.messages import FrameInfo

_PYDICOM_PREAMBLE = "Unable to decode as exceptions were raised by all available plugins:"
_BITS_ALLOCATED = (1, 8, 16, 32, 64)


def shape_of(info: FrameInfo) -> tuple[int, ...]:
    """Return `(rows, columns)`, or `(rows, columns, samples)` where there are several samples."""
    if info.samples_per_pixel == 1:
        return info.rows, info.columns
    return info.rows, info.columns, info.samples_per_pixel


def dtype_of(info: FrameInfo) -> np.dtype[np.generic]:
    """Return the dtype of stored values, in this machine's byte order (PS3.5 8.1.1)."""
    return _dtype(info.bits_allocated, info.pixel_representation)


@lru_cache(maxsize=16)
def _dtype(allocated: int, signed: int) -> np.dtype[np.generic]:
    return np.dtype(np.uint8) if allocated == 1 else np.dtype(f"{'ui'[signed]}{allocated // 8}")


def samples_of(info: FrameInfo) -> int:
    """Return the number of values in the frame."""
    return info.rows * info.columns * info.samples_per_pixel


def check_pixel_module(info: FrameInfo, *, max_frame_bytes: int) -> None:
    """Raise `DecodeFailed` if the header cannot be right, or promises too large a frame."""
    if info.bits_allocated not in _BITS_ALLOCATED:
        raise DecodeFailed(f"BitsAllocated is {info.bits_allocated}, not 1, 8, 16, 32 or 64")
    if info.bits_stored > info.bits_allocated:
        raise DecodeFailed(
            f"BitsStored is {info.bits_stored}, more than BitsAllocated, {info.bits_allocated}"
        )
    if info.high_bit != info.bits_stored - 1:  # PS3.5 8.1.1
        raise DecodeFailed(
            f"HighBit is {info.high_bit}, not one less than BitsStored, {info.bits_stored}"
        )
    needed = samples_of(info) * dtype_of(info).itemsize
    if needed > max_frame_bytes:
        raise DecodeFailed(
            f"the frame would take {needed} bytes, more than `max_frame_bytes`, {max_frame_bytes}"
        )


def check_decoded(pixels: np.ndarray, info: FrameInfo) -> None:
    """Raise `DecodeFailed` unless a backend gave what the header promises."""
    if pixels.shape != shape_of(info) or pixels.dtype != dtype_of(info):
        raise DecodeFailed(
            f"decoded to {pixels.dtype} {pixels.shape}, "
            f"the header promises {dtype_of(info)} {shape_of(info)}"
        )


def only_stored_bits(pixels: np.ndarray, info: FrameInfo) -> np.ndarray:
    """Return `pixels` with the bits above HighBit replaced by the value's own sign or zero.

    The unused bits may hold anything (PS3.5 8.1.1). A frame that is right already, as nearly all
    are, is returned as it is, without a copy.
    """
    unused = info.bits_allocated - info.bits_stored
    if unused == 0 or pixels.size == 0 or _all_fit(pixels, info):
        return pixels
    return (pixels << unused) >> unused


def _all_fit(pixels: np.ndarray, info: FrameInfo) -> bool:
    """Return whether no value has a bit above HighBit in use, but the sign's."""
    if not pixels.flags.c_contiguous or pixels.nbytes < 8:
        return _within(pixels, info)
    words = np.frombuffer(pixels, np.uint64, pixels.nbytes >> 3)
    flags = words.flags
    flags.writeable = False  # one compiled body for both
    if not flags.aligned:
        return _within(pixels, info)
    signs, spare = _lanes(info.bits_allocated, info.bits_stored, info.pixel_representation)
    if int(any_bit(words, signs, np.uint64(info.bits_allocated - 1))) & spare:
        return False
    if words.nbytes == pixels.nbytes:
        return True
    return _within(pixels.reshape(-1)[words.nbytes // pixels.itemsize :], info)


@lru_cache(maxsize=64)
def _lanes(allocated: int, stored: int, signed: int) -> tuple[np.uint64, int]:
    """Return, of 64 bits of values: their sign bits, and all bits that must not be set."""
    places = range(0, 64, allocated)
    signs = sum(1 << place + allocated - 1 for place in places) if signed else 0
    value = sum((1 << stored - signed) - 1 << place for place in places)
    return np.uint64(signs), ~value & (1 << 64) - 1


def _within(pixels: np.ndarray, info: FrameInfo) -> bool:
    """Return the same as `_all_fit`, of any layout."""
    if pixels.size == 0:
        return True
    bits, signed = info.bits_stored, info.pixel_representation
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    return low <= int(pixels.min()) and int(pixels.max()) <= high


def as_promised(raw: np.ndarray, info: FrameInfo) -> np.ndarray:
    """Return what a codec made in the dtype that the header promises: the same bits if as wide."""
    dtype = dtype_of(info)
    return raw.view(dtype) if raw.itemsize == dtype.itemsize else raw.astype(dtype)


def extend_sign(values: np.ndarray, precision: int) -> None:
    """Repeat the highest bit of `precision` bits upwards if the dtype has a sign, else clear it."""
    unused = values.itemsize * 8 - precision
    np.left_shift(values, unused, out=values)
    np.right_shift(values, unused, out=values)


def fitting(values: np.ndarray, info: FrameInfo) -> np.ndarray:
    """Return `values`; raise `DecodeFailed` if one has a bit above HighBit but the sign's."""
    if only_stored_bits(values, info) is not values:
        raise DecodeFailed(f"values of the codestream do not fit BitsStored {info.bits_stored}")
    return values


def is_native_order(little_endian: bool) -> bool:
    """Return whether data of that byte order can be used on this machine as it is."""
    return little_endian == (sys.byteorder == "little")


def in_short(error: Exception) -> str:
    """Return a codec's own words in one line. It saw pixels only, so it cannot name a patient."""
    words = " ".join(str(error).split()).removeprefix(_PYDICOM_PREAMBLE).strip()
    return f"{type(error).__name__}: {words[:160]}"
