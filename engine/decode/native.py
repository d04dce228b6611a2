"""Native pixels: a view of the message's own bytes."""

from __future__ import annotations

import numpy as np

from engine.decode.checks import dtype_of, is_native_order, only_stored_bits, samples_of, shape_of
from engine.errors import DecodeFailed
from engine.messages import FrameInfo, FrameMessage

BIG_ENDIAN = "1.2.840.10008.1.2.2"
SYNTAXES = frozenset(
    {
        "1.2.840.10008.1.2",  # Implicit VR Little Endian
        "1.2.840.10008.1.2.1",  # Explicit VR Little Endian
        "1.2.840.10008.1.2.1.99",  # deflated: the gateway inflates the data set
        BIG_ENDIAN,
    }
)


class NativeBackend:
    """Uncompressed transfer syntaxes (PS3.5 A.1, A.2, A.3, A.5)."""

    name = "native"
    syntaxes = SYNTAXES
    most_samples = 4

    def missing(self, syntax: str) -> str | None:
        """Nothing is ever missing: NumPy is enough."""
        return None

    def decode(self, message: FrameMessage) -> np.ndarray:
        """Return stored values without a copy wherever their layout allows; read-only then.

        A copy is made of bits (bits_allocated 1), of big-endian data, of YBR_FULL_422, and where
        bits above HighBit are in use. Planar colour comes back as an interleaved view.
        """
        info = message.info
        if info.bits_allocated == 1:
            return _unpack_bits(message.value, info)
        if info.photometric_interpretation == "YBR_FULL_422":
            return _expand_422(message.value, info)
        values = only_stored_bits(_values(message.value, info, samples_of(info)), info)
        if info.samples_per_pixel > 1 and info.planar_configuration == 1:
            planes = (info.samples_per_pixel, info.rows, info.columns)
            return values.reshape(planes).transpose(1, 2, 0)
        return values.reshape(shape_of(info))


def _values(value: bytes, info: FrameInfo, count: int) -> np.ndarray:
    """Return `count` values in this machine's byte order."""
    dtype = dtype_of(info)
    little_endian = info.transfer_syntax_uid != BIG_ENDIAN
    if not little_endian and info.bits_allocated == 8 and info.pixel_data_vr != "OB":
        return _swap_words(value, info, count).view(dtype)
    _check_length(value, count * dtype.itemsize)
    if is_native_order(little_endian):
        return np.frombuffer(value, dtype, count)
    return np.frombuffer(value, dtype, count).byteswap()


def _swap_words(value: bytes, info: FrameInfo, count: int) -> np.ndarray:
    """Return `count` bytes out of big-endian words (OW, PS3.5 A.3).

    Frames of one object follow each other without padding, so an odd one may begin inside a word:
    the value is then all the words that the frame touches.
    """
    if info.pixel_data_vr != "OW":
        raise DecodeFailed("8-bit pixels in Explicit VR Big Endian take a `pixel_data_vr`")
    start = (info.frame_number - 1) * count % 2
    _check_length(value, start + count)
    if len(value) % 2:
        raise DecodeFailed(f"{len(value)} bytes of native pixels are no whole number of words")
    return np.frombuffer(value, np.uint16).byteswap().view(np.uint8)[start : start + count]


def _check_length(value: bytes, expected: int) -> None:
    """Raise `DecodeFailed` unless the length is right; one byte of padding may follow."""
    if len(value) not in (expected, expected + 1):  # PS3.5 8.1.1: padded to an even length
        raise DecodeFailed(f"{len(value)} bytes of native pixels, the header promises {expected}")


def _unpack_bits(value: bytes, info: FrameInfo) -> np.ndarray:
    """Return bits as uint8 0 or 1, the first pixel in the lowest bit (PS3.5 8.1.1).

    Frames of one object follow each other without padding, so a frame may begin inside a byte:
    the value is then all the bytes, or in big-endian OW all the words, that the frame touches.
    """
    in_words = info.transfer_syntax_uid == BIG_ENDIAN and info.pixel_data_vr == "OW"
    unit, count = 16 if in_words else 8, samples_of(info)
    start = (info.frame_number - 1) * count % unit
    _check_length(value, -(-(start + count) // unit) * unit // 8)
    octets = np.frombuffer(value, np.uint8)
    if in_words:
        octets = octets.view(np.uint16).byteswap().view(np.uint8)
    bits = np.unpackbits(octets, bitorder="little")
    return bits[start : start + count].reshape(shape_of(info))


def _expand_422(value: bytes, info: FrameInfo) -> np.ndarray:
    """Repeat the chroma of YBR_FULL_422: Y1 Y2 B R -> Y1 B R Y2 B R (PS3.3 C.7.6.3.1.2)."""
    if info.samples_per_pixel != 3 or info.columns % 2 or info.bits_allocated != 8:
        raise DecodeFailed("YBR_FULL_422 takes 3 samples of 8 bits and an even number of Columns")
    pairs = _values(value, info, info.rows * info.columns * 2).reshape(-1, 4)
    out = np.empty((len(pairs), 2, 3), pairs.dtype)
    out[:, :, 0] = pairs[:, :2]
    out[:, :, 1] = pairs[:, 2, None]
    out[:, :, 2] = pairs[:, 3, None]
    return out.reshape(shape_of(info))
