"""Walk an encoded data set (PS3.5 chapter 7) without building it: where each value lies.

Objects come from outside. The walk keeps no copy, never recurses, and stops at PixelData, so a
header of deep or endless sequences costs time in proportion to its size and no memory. pydicom's
reader builds every nested item, recurses, and quotes values in its warnings.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterator
from functools import cached_property, lru_cache
from typing import Final, NamedTuple

from pydicom import charset
from pydicom.datadict import dictionary_VR, tag_for_keyword

from engine.errors import RejectedInstance

UNDEFINED: Final = 0xFFFFFFFF
MAX_DEPTH: Final = 32
MAX_STEPS: Final = 1_000_000  # items and elements passed over in one sequence: about a second
PIXEL_TAGS: Final = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})

_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_LONG_VRS = frozenset(
    {"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"}
)
_VRS = _LONG_VRS.union(
    ("AE", "AS", "AT", "CS", "DA", "DS", "DT", "FD", "FL", "IS", "LO"),
    ("LT", "PN", "SH", "SL", "SS", "ST", "TM", "UI", "UL", "US"),
)
_STRUCT_OF_VR = {"US": "H", "SS": "h", "UL": "L", "SL": "l", "FL": "f", "FD": "d"}
_NUMBER = re.compile(r"[-+]?[0-9]*\.?[0-9]*([eE][-+]?[0-9]+)?")
_TEXT_VRS = frozenset({"AE", "AS", "CS", "DA", "DT", "IS", "LO", "SH", "TM", "UI", "UC", "UR"})


class Encoding(NamedTuple):
    """How a data set's elements are written."""

    explicit: bool
    little: bool

    @property
    def order(self) -> str:
        """The byte order as `struct` writes it."""
        return "<" if self.little else ">"


class Element(NamedTuple):
    """A value in the buffer. `length` is `UNDEFINED` only for encapsulated PixelData."""

    vr: str
    start: int
    length: int


class _Head(NamedTuple):
    tag: int
    vr: str
    start: int
    length: int


class Block:
    """The elements of a data set or of one item, up to PixelData: `buffer[start:end]`.

    Raise `RejectedInstance` (0xC000) for whatever cannot be understood. Texts name keywords and
    never quote values.
    """

    def __init__(self, buffer: memoryview, encoding: Encoding, start: int, end: int) -> None:
        self.buffer, self.encoding, self.start, self.end = buffer, encoding, start, end

    @cached_property
    def elements(self) -> dict[int, Element]:
        """Every element of this level, by tag; the walk ends at the first of `PIXEL_TAGS`."""
        found: dict[int, Element] = {}
        at = self.start
        while at < self.end:
            head = read_head(self.buffer, self.encoding, at, self.end)
            if head.tag in found:
                raise RejectedInstance("a data element occurs twice")
            if head.tag in PIXEL_TAGS:
                found[head.tag] = Element(head.vr, head.start, head.length)
                break
            at, value_end = _after(self.buffer, self.encoding, head, self.end)
            found[head.tag] = Element(head.vr, head.start, value_end - head.start)
        return found

    def value(self, keyword: str) -> tuple[str, memoryview] | None:
        """Return VR and bytes, or None when the element is absent or empty.

        An explicit VR that is not the dictionary's is refused; UN stands for any (PS3.5 6.2.2).
        """
        tag, vr = _known(keyword)
        element = self.elements.get(tag)
        if element is None or element.length == 0:
            return None
        if self.encoding.explicit and element.vr not in (vr, "UN"):
            raise RejectedInstance(f"{keyword} has a wrong VR; it must be {vr}")
        return vr, self.buffer[element.start : element.start + element.length]

    def numbers(self, keyword: str) -> list[float]:
        """Return the finite values of a DS, FD, FL, IS, US ... element; empty when absent."""
        found = self.value(keyword)
        if found is None:
            return []
        vr, raw = found
        if vr in _STRUCT_OF_VR:
            code = self.encoding.order + _STRUCT_OF_VR[vr]
            if len(raw) % struct.calcsize(code):
                raise RejectedInstance(f"{keyword} has a length that {vr} cannot have")
            values = [float(value) for (value,) in struct.iter_unpack(code, raw)]
        else:
            values = [_decimal(keyword, part) for part in _split(raw) if part]
        if not all(math.isfinite(value) for value in values):
            raise RejectedInstance(f"{keyword} is not a finite number")
        return values

    def whole(self, keyword: str) -> int | None:
        """Return a single whole number, or None when absent."""
        values = self.numbers(keyword)
        if not values:
            return None
        if len(values) > 1 or not values[0].is_integer() or abs(values[0]) > 2**32:
            raise RejectedInstance(f"{keyword} is not one whole number")
        return int(values[0])

    def text(self, keyword: str) -> str:
        """Return the first value of a text element in ASCII, padding stripped; "" when absent."""
        found = self.value(keyword)
        return "" if found is None else (_split(found[1]) or [""])[0]

    def words(self, keyword: str) -> list[str]:
        """Return all values of a text element, decoded by SpecificCharacterSet; [] otherwise."""
        found = self.value(keyword)
        if found is None or found[0] not in _TEXT_VRS:
            return []
        try:
            named = _split((self.value("SpecificCharacterSet") or ("CS", memoryview(b"")))[1])
            encodings = charset.convert_encodings([name or "ISO_IR 6" for name in named] or None)
            text = charset.decode_bytes(
                bytes(found[1]), encodings, {ord(mark) for mark in "\\\r\n\f\t"}
            )
        except (LookupError, ValueError):
            raise RejectedInstance(f"{keyword} cannot be read: SpecificCharacterSet") from None
        return [part.strip(" \0") for part in text.split("\\")]

    def items(self, keyword: str) -> Iterator[Block]:
        """Yield the items of a sequence, in order, each read only when asked."""
        found = self.value(keyword)
        if found is None:
            return
        tag = _known(keyword)[0]
        element = self.elements[tag]
        inner = _inner(self.encoding, element.vr)
        at, end = element.start, element.start + element.length
        while at < end:
            head = _item_head(self.buffer, inner, at, end)
            if head.tag != _ITEM:
                raise RejectedInstance(f"{keyword} holds something other than items")
            if head.length == UNDEFINED:
                stop, at = _skip(self.buffer, inner, head.start, end, inside_item=True)
            else:
                stop = at = _bounded(head, end)
            yield Block(self.buffer, inner, head.start, stop)

    def item(self, keyword: str) -> Block | None:
        """Return the first item of a sequence, or None."""
        return next(self.items(keyword), None)


@lru_cache(maxsize=512)
def _known(keyword: str) -> tuple[int, str]:
    tag = tag_for_keyword(keyword)
    if tag is None:
        raise ValueError(f"{keyword} is not a DICOM keyword")
    return tag, dictionary_VR(tag)


def read_head(buffer: memoryview, encoding: Encoding, at: int, end: int) -> _Head:
    """Read tag, VR and length at `at` (PS3.5 7.1.2, 7.1.3)."""
    if end - at < 8:
        raise RejectedInstance("the data set ends inside a data element")
    group, element = struct.unpack_from(encoding.order + "HH", buffer, at)
    tag = group << 16 | element
    if group == 0xFFFE or not encoding.explicit:
        (length,) = struct.unpack_from(encoding.order + "L", buffer, at + 4)
        return _Head(tag, _implicit_vr(tag), at + 8, length)
    vr = bytes(buffer[at + 4 : at + 6]).decode("latin-1")
    if vr not in _VRS:
        raise RejectedInstance("a data element has no valid VR; is the transfer syntax right?")
    if vr not in _LONG_VRS:
        (length,) = struct.unpack_from(encoding.order + "H", buffer, at + 6)
        return _Head(tag, vr, at + 8, length)
    if end - at < 12:
        raise RejectedInstance("the data set ends inside a data element")
    (length,) = struct.unpack_from(encoding.order + "L", buffer, at + 8)
    return _Head(tag, vr, at + 12, length)


@lru_cache(maxsize=4096)
def _implicit_vr(tag: int) -> str:
    try:
        return dictionary_VR(tag)
    except KeyError:
        return "UN"


def _item_head(buffer: memoryview, encoding: Encoding, at: int, end: int) -> _Head:
    if end - at < 8:
        raise RejectedInstance("a sequence ends without its delimitation item")
    group, element, length = struct.unpack_from(encoding.order + "HHL", buffer, at)
    return _Head(group << 16 | element, "", at + 8, length)


def _after(buffer: memoryview, encoding: Encoding, head: _Head, end: int) -> tuple[int, int]:
    """Return where the next element starts, and where the value of this one ends."""
    if head.tag >> 16 == 0xFFFE:
        raise RejectedInstance("a delimitation item stands where a data element must be")
    if head.length != UNDEFINED:
        stop = _bounded(head, end)
        return stop, stop
    inner = _inner(encoding, head.vr)
    value_end, after = _skip(buffer, inner, head.start, end, inside_item=False)
    return after, value_end


def _bounded(head: _Head, end: int) -> int:
    if head.length == UNDEFINED or head.start + head.length > end:
        raise RejectedInstance("a data element is longer than the data set")
    return head.start + head.length


def _inner(encoding: Encoding, vr: str) -> Encoding:
    """UN of undefined length holds implicit little endian whatever is around it (PS3.5 6.2.2)."""
    return Encoding(explicit=False, little=True) if vr == "UN" else encoding


def _skip(
    buffer: memoryview, encoding: Encoding, at: int, end: int, *, inside_item: bool
) -> tuple[int, int]:
    """Pass over a sequence or item of undefined length; return `(end of content, next)`."""
    stack = [(inside_item, encoding)]
    for _ in range(MAX_STEPS):
        inside, enc = stack[-1]
        if end - at < 8:
            raise RejectedInstance("a sequence ends without its delimitation item")
        group, element, length = _item_struct(enc.little).unpack_from(buffer, at)
        tag, vr, at = group << 16 | element, "", at + 8
        if tag == (_ITEM_END if inside else _SEQUENCE_END):
            stack.pop()
            if not stack:
                return at - 8, at
            continue
        if inside:
            _, vr, at, length = read_head(buffer, enc, at - 8, end)
        elif tag != _ITEM:
            raise RejectedInstance("a sequence holds something other than items")
        if length != UNDEFINED:
            at += length  # beyond the end is found in the next step
            continue
        _enter(stack, _inner(enc, vr) if inside else enc)
    raise RejectedInstance(f"a sequence has more than {MAX_STEPS} items and elements")


def _enter(stack: list[tuple[bool, Encoding]], encoding: Encoding) -> None:
    """Go one level down: from a sequence into an item, or from an item into a sequence."""
    if len(stack) >= 2 * MAX_DEPTH:
        raise RejectedInstance(f"sequences are nested more than {MAX_DEPTH} deep")
    stack.append((not stack[-1][0], encoding))


@lru_cache(maxsize=2)
def _item_struct(little: bool) -> struct.Struct:
    return struct.Struct("<HHL" if little else ">HHL")


def _split(raw: memoryview) -> list[str]:
    return [part.strip(" \0") for part in bytes(raw).decode("latin-1").split("\\")]


def _decimal(keyword: str, text: str) -> float:
    if len(text) > 64 or not _NUMBER.fullmatch(text):
        raise RejectedInstance(f"{keyword} is not a finite number")
    try:
        return float(text)
    except ValueError:
        raise RejectedInstance(f"{keyword} is not a finite number") from None
