"""The wire codec for native 16-bit frames, between gateway and worker (`x-codec`).

`delta-zstd.v1`: the differences from the pixel above, split into nibble planes
(`kernels.delta_shuffle`), in two zstd frames, each with its content's size and checksum:

    1 byte   0x01, the version
    8 bytes  little endian: the lengths of the two zstd frames, 4 bytes each
    ...      zstd frame: the lowest nibbles, rows x half bytes, half = (columns + 1) // 2
    ...      zstd frame: the other planes, 1 to 3 x rows x half bytes; those that lack are zeros

The lowest nibbles are mostly noise: level -1 takes out what repeats and leaves the rest as it is,
which is read several times faster than entropy coding that saves little. Why and how
fast: docs/decisions/0009-wire-codec.md.
"""

from __future__ import annotations

import math
import struct
import threading
from typing import NamedTuple

import msgspec
import numpy as np
import zstandard

from engine.errors import DecodeFailed
from engine.messages import FrameInfo, FrameMessage
from kernels import delta_shuffle, undelta_shuffle

NONE = "none"
DELTA_ZSTD = "delta-zstd.v1"
MIN_BYTES = 16 * 1024  # below, a record's own cost is larger than what could be saved
MAX_BYTES = 64 * 1024 * 1024  # what one record may make a worker allocate, twice
WORTH = 0.9  # of the frame's bytes: a saving smaller than that is not worth the worker's time

_BYTE_ORDERS = {
    "1.2.840.10008.1.2": "<",  # Implicit VR Little Endian
    "1.2.840.10008.1.2.1": "<",  # Explicit VR Little Endian
    "1.2.840.10008.1.2.1.99": "<",  # deflated: the gateway inflates the data set
    "1.2.840.10008.1.2.2": ">",  # Explicit VR Big Endian
}
_VERSION = 1
_HEAD = struct.Struct("<BLL")


class Encoded(NamedTuple):
    """A message's `codec` and `value`."""

    codec: str
    value: bytes


class _Contexts(threading.local):
    """zstd's contexts, a set for each thread: one of them may not be used by two at once.

    `planes` is room for one frame's, kept from frame to frame: fresh memory for each cost as much
    as unpacking it. At most `MAX_BYTES` and a few, a thread.
    """

    def __init__(self) -> None:
        self.low = zstandard.ZstdCompressor(level=-1, write_checksum=True)
        self.high = zstandard.ZstdCompressor(level=1, write_checksum=True)
        self.reader = zstandard.ZstdDecompressor()
        self.planes = np.empty(0, np.uint8)

    def room(self, size: int) -> np.ndarray:
        """Return that many bytes; what they held before is lost."""
        if self.planes.size < size:
            self.planes = np.empty(size, np.uint8)
        return self.planes[:size]


_contexts = _Contexts()


def encode(info: FrameInfo, value: bytes) -> Encoded:
    """Return the value as it is to travel: `delta-zstd.v1` where that pays, else as it is.

    It pays for native frames of 16 bits and one sample, from `MIN_BYTES` to `MAX_BYTES`, that
    shrink below `WORTH`. Every bit of the value comes back, those above HighBit too.
    """
    if not MIN_BYTES <= len(value) <= MAX_BYTES or len(value) != _bytes_of(info):
        return Encoded(NONE, value)
    packed = pack(info, value)
    if len(packed) > WORTH * len(value):
        return Encoded(NONE, value)
    return Encoded(DELTA_ZSTD, packed)


def pack(info: FrameInfo, value: bytes) -> bytes:
    """Return `value` as `delta-zstd.v1`; it must be a frame of a kind that the codec takes."""
    order = _BYTE_ORDERS[info.transfer_syntax_uid]
    frame = np.frombuffer(value, f"{order}u2").reshape(info.rows, info.columns)
    planes = delta_shuffle(frame.astype(np.uint16, copy=False))
    low = _contexts.low.compress(planes[0].data)
    used = 4 if planes[3].any() else 3 if planes[2].any() else 2  # what is nothing costs nothing
    high = _contexts.high.compress(planes[1:used].data)
    return b"".join((_HEAD.pack(_VERSION, len(low), len(high)), low, high))


def unpack(info: FrameInfo, value: bytes) -> memoryview:
    """Return the bytes whose `pack` gave `value`; x-frame says how many they must be.

    Raises `DecodeFailed` for another version, a frame that the codec does not take, and zstd
    frames that are cut, damaged, or declare any other size: seen before it is allocated.
    """
    expected = _bytes_of(info)
    if not 0 < expected <= MAX_BYTES:
        raise DecodeFailed(
            f"{DELTA_ZSTD} carries native frames of 16 bits and one sample, of {MAX_BYTES} bytes "
            "at most; x-frame describes another"
        )
    if len(value) < _HEAD.size:
        raise DecodeFailed(f"the {DELTA_ZSTD} value is cut short")
    version, length, rest = _HEAD.unpack_from(value)
    if version != _VERSION:
        raise DecodeFailed(f"the {DELTA_ZSTD} value is of version {version}, not {_VERSION}")
    if len(value) != _HEAD.size + length + rest:
        raise DecodeFailed(f"the {DELTA_ZSTD} value is not as long as its zstd frames")
    shape = (info.rows, (info.columns + 1) // 2)
    frames = memoryview(value)[_HEAD.size :]
    halves = frames[:length], frames[length:]
    least, most = (
        _planes(half, math.prod(shape), most) for half, most in zip(halves, (1, 3), strict=True)
    )
    room = _contexts.room((least + most) * math.prod(shape)).reshape(-1, *shape)
    low, high = _inflated(halves[0], room[:least]), _inflated(halves[1], room[least:])
    frame = undelta_shuffle(low[0], high, columns=info.columns)
    order = _BYTE_ORDERS[info.transfer_syntax_uid]
    return frame.astype(f"{order}u2", copy=False).view(np.uint8).reshape(-1).data


def opened(message: FrameMessage) -> FrameMessage:
    """Return the message with the value as in the DICOM object: codec `none`.

    Raises `DecodeFailed`, as `unpack` does, and for a codec unknown here.
    """
    if message.codec == NONE:
        return message
    if message.codec != DELTA_ZSTD:
        raise DecodeFailed("the header x-codec names a codec that this version does not know")
    value = unpack(message.info, message.value)  # a view: making bytes of it would copy
    return msgspec.structs.replace(message, codec=NONE, value=value)


def warm() -> None:
    """Compile the filter, or load it from the cache, before the first frame comes."""
    planes = delta_shuffle(np.zeros((1, 1), np.uint16))
    undelta_shuffle(planes[0], planes[1:], columns=1)


def _bytes_of(info: FrameInfo) -> int:
    """Return the bytes of a frame that the codec takes, 0 for any other."""
    if info.bits_allocated != 16 or info.samples_per_pixel != 1:
        return 0
    return 2 * info.rows * info.columns if info.transfer_syntax_uid in _BYTE_ORDERS else 0


def _planes(data: memoryview, size: int, most: int) -> int:
    """Return how many planes of `size` bytes a zstd frame declares: 1 to `most`."""
    try:
        declared = zstandard.get_frame_parameters(data)
    except zstandard.ZstdError as error:
        raise DecodeFailed(f"the {DELTA_ZSTD} value is damaged: {error}") from None
    planes, rest = divmod(declared.content_size, size)
    if rest or not 1 <= planes <= most or not declared.has_checksum:
        raise DecodeFailed(
            f"a zstd frame of the {DELTA_ZSTD} value does not declare a checksum and 1 to "
            f"{most} times {size} bytes"
        )
    return planes


def _inflated(data: memoryview, room: np.ndarray) -> np.ndarray:
    """Inflate a zstd frame into `room`, which is as large as the frame declares."""
    try:
        # Across frames: what follows this one is an error then, and is not left unread.
        with _contexts.reader.stream_reader(data, read_across_frames=True) as reader:
            complete = reader.readinto(room.data.cast("B")) == room.nbytes
            if not complete or reader.read(1):  # which also checks the checksum
                raise DecodeFailed(f"the {DELTA_ZSTD} value is not of the size that it declares")
    except zstandard.ZstdError as error:
        raise DecodeFailed(f"the {DELTA_ZSTD} value is damaged: {error}") from None
    return room
