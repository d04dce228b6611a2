"""Read single values of an encoded data set (PS3.5 chapter 6) without building it.

Objects come from outside. Nothing is copied before it is asked for, and a level is read up to
PixelData, so a header of deep or endless sequences costs time in proportion to its size, within a
budget. pydicom's reader builds every nested item, recurses, and quotes values in its warnings.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterator
from functools import cached_property, lru_cache
from typing import Final, NamedTuple

from pydicom.datadict import dictionary_VR, tag_for_keyword

from engine.errors import RejectedInstance
from engine.ingest.text import decode_text
from engine.ingest.walk import (
    ITEM,
    READ,
    UNDEFINED,
    Budget,
    Encoding,
    after,
    bounded,
    inner,
    item_head,
    read_head,
    skip,
)

PIXEL_TAGS: Final = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})

MAX_VALUE_BYTES: Final = 16 * 1024  # of numbers and of text

_STRUCT_OF_VR = {"US": "H", "SS": "h", "UL": "L", "SL": "l", "FL": "f", "FD": "d"}
_NUMBER = re.compile(r"[-+]?[0-9]*\.?[0-9]*([eE][-+]?[0-9]+)?")
_TEXT_VRS = frozenset({"AE", "AS", "CS", "DA", "DT", "IS", "LO", "SH", "TM", "UI", "UC", "UR"})


class Element(NamedTuple):
    """A value in the buffer. `length` is `UNDEFINED` only for encapsulated PixelData."""

    vr: str
    start: int
    length: int


class Block:
    """The elements of a data set or of one item, up to PixelData: `buffer[start:end]`.

    Raise `RejectedInstance` (0xC000) for whatever cannot be understood. Texts name keywords and
    never quote values.
    """

    def __init__(
        self,
        buffer: memoryview,
        encoding: Encoding,
        start: int,
        end: int,
        budget: Budget | None = None,
    ) -> None:
        self.buffer, self.encoding, self.start, self.end = buffer, encoding, start, end
        self._budget = budget or Budget()

    @cached_property
    def elements(self) -> dict[int, Element]:
        """Every element of this level, by tag; the walk ends at the first of `PIXEL_TAGS`."""
        found: dict[int, Element] = {}
        at = self.start
        while at < self.end:
            self._budget.spend(READ)
            head = read_head(self.buffer, self.encoding, at, self.end)
            if head.tag in found:
                raise RejectedInstance("a data element occurs twice")
            if head.tag in PIXEL_TAGS:
                found[head.tag] = Element(head.vr, head.start, head.length)
                break
            at, value_end = after(self.buffer, self.encoding, head, self.end, self._budget)
            found[head.tag] = Element(head.vr, head.start, value_end - head.start)
        return found

    def value(self, keyword: str, *retired: str) -> tuple[str, memoryview] | None:
        """Return VR and bytes, or None when the element is absent or empty.

        An explicit VR that is neither the dictionary's nor a `retired` one is refused; UN stands
        for any (PS3.5 6.2.2).
        """
        tag, vr = _known(keyword)
        element = self.elements.get(tag)
        if element is None or element.length == 0:
            return None
        if self.encoding.explicit and element.vr not in (*vr.split(" or "), *retired, "UN"):
            raise RejectedInstance(f"{keyword} has a wrong VR; it must be {vr}")
        return vr, self.buffer[element.start : element.start + element.length]

    def _short(self, keyword: str) -> tuple[str, memoryview] | None:
        """Return what `value` does; refuse what takes long to read and can mean nothing here."""
        found = self.value(keyword)
        if found is not None and len(found[1]) > MAX_VALUE_BYTES:
            raise RejectedInstance(f"{keyword} has more than {MAX_VALUE_BYTES} bytes")
        return found

    def numbers(self, keyword: str) -> list[float]:
        """Return the finite values of a DS, FD, FL, IS, US ... element; empty when absent."""
        found = self._short(keyword)
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
        found = self._short(keyword)
        return "" if found is None else (_split(found[1]) or [""])[0]

    def words(self, keyword: str) -> list[str]:
        """Return all values of a text element, decoded by SpecificCharacterSet; [] otherwise."""
        found = self._short(keyword)
        if found is None or found[0] not in _TEXT_VRS:
            return []
        named = self._short("SpecificCharacterSet")
        try:
            text = decode_text(bytes(found[1]), _split(named[1]) if named else [])
        except (LookupError, ValueError):
            raise RejectedInstance(
                f"{keyword} cannot be read: SpecificCharacterSet is unknown, or an escape is"
            ) from None
        return [part.strip(" \0") for part in text.split("\\")]

    def items(self, keyword: str) -> Iterator[Block]:
        """Yield the items of a sequence, in order, each read only when asked."""
        found = self.value(keyword)
        if found is None:
            return
        tag = _known(keyword)[0]
        element = self.elements[tag]
        inside, budget = inner(self.encoding, element.vr), self._budget
        at, end = element.start, element.start + element.length
        while at < end:
            budget.spend(READ)
            head = item_head(self.buffer, inside, at, end)
            if head.tag != ITEM:
                raise RejectedInstance(f"{keyword} holds something other than items")
            if head.length == UNDEFINED:
                stop, at = skip(self.buffer, inside, head.start, end, budget, inside_item=True)
            else:
                stop = at = bounded(head, end)
            yield Block(self.buffer, inside, head.start, stop, budget)

    def item(self, keyword: str) -> Block | None:
        """Return the first item of a sequence, or None."""
        return next(self.items(keyword), None)


@lru_cache(maxsize=512)
def _known(keyword: str) -> tuple[int, str]:
    tag = tag_for_keyword(keyword)
    if tag is None:
        raise ValueError(f"{keyword} is not a DICOM keyword")
    return tag, dictionary_VR(tag)


def _split(raw: memoryview) -> list[str]:
    return [part.strip(" \0") for part in bytes(raw).decode("latin-1").split("\\")]


def _decimal(keyword: str, text: str) -> float:
    if len(text) > 64 or not _NUMBER.fullmatch(text):
        raise RejectedInstance(f"{keyword} is not a finite number")
    try:
        return float(text)
    except ValueError:
        raise RejectedInstance(f"{keyword} is not a finite number") from None
