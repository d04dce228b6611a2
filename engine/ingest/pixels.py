"""Find each frame's encoded bytes in PixelData (PS3.5 8.1.1, A.4); nothing is decoded or copied."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from engine.errors import RejectedInstance
from engine.ingest.elements import Block, Element
from engine.ingest.syntaxes import MAGIC, Family
from engine.ingest.walk import UNDEFINED, Encoding

MAX_FRAGMENTS = 1 << 18

Spans = Sequence[tuple[int, int]]


class Layout(NamedTuple):
    """The numbers of the pixel module that say how large a frame is."""

    rows: int
    columns: int
    samples: int
    bits_allocated: int
    frames: int
    subsampled: bool = False  # YBR_FULL_422: two of three samples are stored (PS3.3 C.7.6.3.1.2)

    @property
    def frame_bits(self) -> int:
        """Bits of one decoded frame, unpadded."""
        bits = self.rows * self.columns * self.samples * self.bits_allocated
        return bits // 3 * 2 if self.subsampled else bits

    @property
    def frame_bytes(self) -> int:
        """Bytes of one frame as native pixels."""
        return (self.frame_bits + 7) // 8

    @property
    def decoded_bytes(self) -> int:
        """Bytes of one decoded frame: a bit takes one, and subsampled colour is expanded."""
        return self.rows * self.columns * self.samples * ((self.bits_allocated + 7) // 8)


class NativeFrames:
    """The frames of native PixelData, in place: frame `i` is `frames[i]`, from 0.

    Frames follow one another without padding (PS3.5 8.1.1), so one of single bits, or of bits or
    bytes in big-endian words, may begin inside a byte or a word: it is all those that it touches.
    """

    def __init__(
        self, buffer: memoryview, encoding: Encoding, element: Element, layout: Layout
    ) -> None:
        total = (layout.frame_bits * layout.frames + 7) // 8
        if element.length == UNDEFINED:
            raise RejectedInstance("PixelData is encapsulated but the transfer syntax is native")
        if element.length > len(buffer) - element.start:
            raise RejectedInstance("PixelData is cut short: the object ends before it does")
        if element.length % 2:
            raise RejectedInstance("PixelData has an odd length")
        if element.length < total:
            raise RejectedInstance("PixelData is shorter than its rows, columns and frames")
        self._data = buffer[element.start : element.start + element.length]
        self._frame_bits = layout.frame_bits
        swapped = not encoding.little and element.vr == "OW" and layout.bits_allocated <= 8
        self._unit_bits = 16 if swapped else 8

    def __getitem__(self, index: int) -> memoryview:
        unit, size = self._unit_bits, self._unit_bits // 8
        first = index * self._frame_bits // unit
        stop = -(-(index + 1) * self._frame_bits // unit)
        return self._data[first * size : stop * size]


class EncapsulatedFrames:
    """The frames of encapsulated PixelData: one frame's fragments joined by `frames[i]`."""

    def __init__(self, buffer: memoryview, spans: Spans, starts: Sequence[int]) -> None:
        self._buffer, self._spans = buffer, spans
        self._bounds = [*starts, len(spans)]

    def __getitem__(self, index: int) -> memoryview | bytes:
        first, stop = self._bounds[index], self._bounds[index + 1]
        parts = [self._buffer[start:end] for start, end in self._spans[first:stop]]
        return parts[0] if len(parts) == 1 else b"".join(parts)


Frames = NativeFrames | EncapsulatedFrames


def encapsulated(block: Block, element: Element, frames: int, family: Family) -> EncapsulatedFrames:
    """Locate `frames` frames by the extended, the basic, or without an offset table.

    Raise `RejectedInstance` for offsets that meet no fragment, empty fragments, a missing
    delimiter, and a number of fragments that cannot hold the frames.
    """
    if element.length != UNDEFINED:
        raise RejectedInstance("PixelData is native but the transfer syntax is encapsulated")
    items = _items(block.buffer, element.start)
    table, spans = items[0], items[1:]
    if len(spans) < frames:
        raise RejectedInstance("PixelData has fewer fragments than frames")
    if any(start == end for start, end in spans):
        raise RejectedInstance("PixelData has a fragment of length zero")
    offsets = _offsets(block, table, frames)
    if offsets:
        starts = _by_table(offsets, spans)
    elif frames == 1:
        starts = [0]
    elif len(spans) == frames:
        starts = list(range(frames))
    else:
        starts = _by_magic(block.buffer, spans, family)
    if len(starts) != frames:
        raise RejectedInstance("PixelData does not divide into NumberOfFrames frames")
    return EncapsulatedFrames(block.buffer, spans, starts)


def _items(buffer: memoryview, at: int) -> list[tuple[int, int]]:
    """Return the value of every item, the offset table first, as `(start, end)`."""
    found: list[tuple[int, int]] = []
    while len(buffer) - at >= 8:
        group, element, length = struct.unpack_from("<HHL", buffer, at)
        if (group, element) == (0xFFFE, 0xE0DD):
            if not found:
                break
            return found
        if (group, element) != (0xFFFE, 0xE000) or length == UNDEFINED:
            raise RejectedInstance("PixelData holds something other than fragments")
        if at + 8 + length > len(buffer):
            break
        if len(found) > MAX_FRAGMENTS:
            raise RejectedInstance(f"PixelData has more than {MAX_FRAGMENTS} fragments")
        found.append((at + 8, at + 8 + length))
        at += 8 + length
    raise RejectedInstance("PixelData is cut short: its sequence delimitation item is missing")


def _offsets(block: Block, table: tuple[int, int], frames: int) -> list[int]:
    """Return the offset of each frame's first item; empty when there is no table."""
    extended = block.value("ExtendedOffsetTable")
    raw, code = block.buffer[table[0] : table[1]], "<L"
    if extended is not None:
        raw, code = extended[1], "<Q"
    size = struct.calcsize(code)
    if len(raw) and len(raw) != frames * size:
        raise RejectedInstance("the offset table of PixelData does not have NumberOfFrames entries")
    return [offset for (offset,) in struct.iter_unpack(code, raw)]


def _by_table(offsets: list[int], spans: Spans) -> list[int]:
    """Return the index of each frame's first fragment; every offset must meet one, in order."""
    origin = spans[0][0] - 8
    index_of = {start - 8 - origin: index for index, (start, _) in enumerate(spans)}
    starts = [index_of.get(offset, -1) for offset in offsets]
    rising = all(a < b for a, b in pairwise(starts))
    if starts[0] != 0 or not rising:
        raise RejectedInstance("the offset table of PixelData does not point at its fragments")
    return starts


def _by_magic(buffer: memoryview, spans: Spans, family: Family) -> list[int]:
    """Without a table, a frame starts where a fragment begins with the codestream's marker."""
    magic = MAGIC.get(family, ())
    longest = max(map(len, magic), default=0)
    return [
        index
        for index, (start, _) in enumerate(spans)
        if bytes(buffer[start : start + longest]).startswith(magic)
    ]
