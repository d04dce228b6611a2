"""Read an untrusted DICOM object once, with caps, up to PixelData; refuse what cannot be.

Nothing is decoded and nothing is encoded again. `RejectedInstance` carries the status of
PS3.4 table B.2-1: 0xC000 cannot understand, 0xA900 data set does not match SOP class (or the
request), 0xA700 out of resources.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from engine.errors import RejectedInstance
from engine.ingest.elements import Block
from engine.ingest.header import FrameInfos, layout
from engine.ingest.pixels import Frames, Layout, NativeFrames, encapsulated
from engine.ingest.syntaxes import EXPLICIT_LITTLE, MAGIC, Syntax, syntax_of
from engine.ingest.walk import Encoding, read_head
from engine.messages import FrameInfo

MIB: Final = 1024 * 1024
MAX_HEADER_BYTES: Final = 32 * MIB
MAX_RATIO: Final = 4096  # of JPEG, JPEG-LS and JPEG 2000; real frames stay far below
MAX_RLE_RATIO: Final = 64  # two bytes stand for at most 128 (PS3.5 annex G)
MAX_INFLATION: Final = 100
PLAIN_BYTES: Final = 16 * MIB  # below this a ratio costs nobody anything: blank frames pass

_PIXEL_DATA = 0x7FE00010
_FLOAT_PIXELS = (0x7FE00008, 0x7FE00009)


@dataclass(frozen=True, slots=True)
class Instance:
    """A checked object: the header of every frame, and its encoded bytes in place."""

    infos: FrameInfos
    frames: Frames

    @property
    def sop_class_uid(self) -> str:
        """SOPClassUID of the data set."""
        return self.first.sop_class_uid

    @property
    def sop_instance_uid(self) -> str:
        """SOPInstanceUID of the data set."""
        return self.first.sop_instance_uid

    @property
    def first(self) -> FrameInfo:
        """The header of frame 1."""
        return self.infos.first

    def __len__(self) -> int:
        return len(self.infos)

    def __iter__(self) -> Iterator[tuple[FrameInfo, memoryview | bytes]]:
        for index in range(len(self.infos)):
            yield self.infos[index], self.frames[index]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Caps on one object, in bytes (settings `max_object_bytes`, `max_frame_bytes`)."""

    max_object_bytes: int = 1024 * MIB
    max_frame_bytes: int = 256 * MIB


def read_instance(
    data: bytes | memoryview,
    transfer_syntax_uid: str,
    *,
    limits: Limits | None = None,
    keywords: frozenset[str] = frozenset(),
    pixels_only: bool = False,
) -> Instance:
    """Check the encoded data set `data` and locate its frames.

    `keywords` are the DICOM keywords whose values go into `FrameInfo.keywords`. A deflated data
    set is inflated under a cap; its frames are then explicit VR little endian, and say so.
    With `pixels_only` nothing but the pixel module is read: UIDs and geometry may be missing or
    wrong, and stay empty. Raise `RejectedInstance`.
    """
    caps = limits or Limits()
    if len(data) > caps.max_object_bytes:
        raise RejectedInstance(
            f"the object has more than {caps.max_object_bytes} bytes (setting `max_object_bytes`)",
            status=0xA700,
        )
    syntax = syntax_of(transfer_syntax_uid)
    if syntax.deflated:
        data, syntax = _inflate(data, caps.max_object_bytes), syntax_of(EXPLICIT_LITTLE)
    buffer = memoryview(data)
    encoding = _encoding(buffer, syntax.encoding, may_lie=pixels_only)
    block = Block(buffer, encoding, 0, len(buffer))
    size, frames = _frames(block, syntax, caps)
    infos = FrameInfos(block, size, syntax.uid, keywords, pixels_only=pixels_only)
    return Instance(infos, frames)


def read_file(
    data: bytes,
    *,
    limits: Limits | None = None,
    keywords: frozenset[str] = frozenset(),
    pixels_only: bool = False,
) -> Instance:
    """Check a DICOM file (PS3.10) held in memory; raise `RejectedInstance`."""
    transfer_syntax_uid, start = split_file(data)
    return read_instance(
        memoryview(data)[start:],
        transfer_syntax_uid,
        limits=limits,
        keywords=keywords,
        pixels_only=pixels_only,
    )


def split_file(data: bytes) -> tuple[str, int]:
    """Return the transfer syntax of a DICOM file and where its data set starts.

    The meta group is walked to its end; its group length, which may lie, is not used.
    """
    if len(data) < 132 or data[128:132] != b"DICM":
        raise RejectedInstance("not a DICOM file: no DICM after a preamble of 128 bytes")
    buffer, at = memoryview(data), 132
    encoding = Encoding(explicit=True, little=True)  # PS3.10 7.1
    uid = ""
    while data[at : at + 2] == b"\x02\x00":
        head = read_head(buffer, encoding, at, len(buffer))
        at = head.start + head.length
        if at > len(buffer):
            raise RejectedInstance("the file meta information is longer than the file")
        if head.tag == 0x00020010:
            uid = data[head.start : at].decode("latin-1").rstrip("\0 ")
    if not uid:
        raise RejectedInstance("the file meta information has no TransferSyntaxUID")
    return uid, at


def _frames(block: Block, syntax: Syntax, caps: Limits) -> tuple[Layout, Frames]:
    """Return the size of the frames, and where they are."""
    pixels = block.elements.get(_PIXEL_DATA)
    if pixels is None:
        what = (
            "float pixels" if any(tag in block.elements for tag in _FLOAT_PIXELS) else "no pixels"
        )
        raise RejectedInstance(f"the object has {what}: PixelData is missing", status=0xA900)
    if pixels.start > MAX_HEADER_BYTES:
        raise RejectedInstance(f"the header has more than {MAX_HEADER_BYTES} bytes")
    size = layout(block, max_frame_bytes=caps.max_frame_bytes)
    if size.frames > len(block.buffer) * 8:
        raise RejectedInstance("NumberOfFrames is more than the object can hold")
    frames: Frames
    if syntax.family == "native":
        frames = NativeFrames(block.buffer, block.encoding, pixels, size)
    else:
        frames = encapsulated(block, pixels, size.frames, syntax.family)
        _check_codestreams(frames, size, syntax)
    return size, frames


def _encoding(buffer: memoryview, named: Encoding, *, may_lie: bool) -> Encoding:
    """Return how the data set is encoded: as its transfer syntax says, or it is refused.

    The first element has a VR or none, and is of a low group, 0008 but where private ones come
    first: in the other byte order its number would be high. With `may_lie` the VR is believed.
    """
    if len(buffer) < 8:
        raise RejectedInstance("the data set is empty")
    (group,) = struct.unpack_from(named.order + "H", buffer, 0)
    vr = bytes(buffer[4:6])
    explicit = vr.isalpha() and vr.isupper()
    if not 0x0002 < group <= 0x00FF or (explicit != named.explicit and not may_lie):
        raise RejectedInstance("the data set is not encoded in its transfer syntax")
    return Encoding(explicit=explicit, little=named.little)


def _check_codestreams(frames: Frames, size: Layout, syntax: Syntax) -> None:
    """Each frame starts as its transfer syntax says, and could hold what the header claims."""
    for index in range(size.frames):
        frame = frames[index]
        magic = MAGIC.get(syntax.family)
        if magic and not bytes(frame[:16]).startswith(magic):
            raise RejectedInstance("a frame is not encoded in the object's transfer syntax")
        if syntax.family == "rle":
            possible = size.frame_bytes <= MAX_RLE_RATIO * max(0, len(frame) - 64)
        else:
            possible = size.frame_bytes <= max(PLAIN_BYTES, MAX_RATIO * len(frame))
        if not possible:
            raise RejectedInstance("Rows and Columns claim more than the encoded frame can hold")


def _inflate(data: bytes | memoryview, max_object_bytes: int) -> bytes:
    """Inflate a deflated data set (PS3.5 A.5), at most `MAX_INFLATION` to 1 above 16 MiB."""
    cap = min(max_object_bytes, max(PLAIN_BYTES, MAX_INFLATION * len(data)))
    inflater = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
    try:
        inflated = inflater.decompress(data, cap)
    except zlib.error:
        raise RejectedInstance("the deflated data set is damaged") from None
    if inflater.eof:
        return inflated
    if inflater.unconsumed_tail:
        raise RejectedInstance(f"the deflated data set inflates to more than {cap} bytes")
    raise RejectedInstance("the deflated data set is cut short")
