"""Walk over the bytes of an encoded data set (PS3.5 chapter 7): where each element lies.

Nothing here recurses, copies, or knows a keyword. What may be passed over in one object is capped
by a `Budget`, which remembers where it ended: each level that is read asks for that again.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from engine.errors import RejectedInstance

UNDEFINED: Final = 0xFFFFFFFF
MAX_DEPTH: Final = 32
MAX_STEPS: Final = 1_000_000
READ: Final = 2  # steps that it takes to read an element or an item, beside passing over one

ITEM: Final = 0xFFFEE000
_ITEM_END, _SEQUENCE_END = 0xFFFEE00D, 0xFFFEE0DD
_LONG_VRS = frozenset(
    {"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"}
)
_VRS = _LONG_VRS.union(
    ("AE", "AS", "AT", "CS", "DA", "DS", "DT", "FD", "FL", "IS", "LO"),
    ("LT", "PN", "SH", "SL", "SS", "ST", "TM", "UI", "UL", "US"),
)
_VR_OF = {vr.encode(): vr for vr in _VRS}


class Encoding(NamedTuple):
    """How a data set's elements are written."""

    explicit: bool
    little: bool

    @property
    def order(self) -> str:
        """The byte order as `struct` writes it."""
        return "<" if self.little else ">"


class _Structs(NamedTuple):
    explicit: struct.Struct  # group, element, VR, a length of 16 bits
    implicit: struct.Struct  # group, element, a length of 32 bits; items have it in any encoding
    length: struct.Struct


_STRUCTS = {
    little: _Structs(*(struct.Struct(order + form) for form in ("HH2sH", "HHL", "L")))
    for little, order in ((True, "<"), (False, ">"))
}


class Head(NamedTuple):
    """Tag, VR and length of an element or item, and where its value starts.

    The VR is empty where it is not written: in implicit VR, and of items.
    """

    tag: int
    vr: str
    start: int
    length: int


class Budget:
    """The steps that are left for one object: they bound the time that its header can take.

    They take some seconds at most. An enhanced object with a dozen macros spends 60 of them a
    frame, or 170 where its sequences are of undefined length. `ends` has the end of each content
    of undefined length that was passed over, by its start: nothing is walked through twice.
    """

    __slots__ = ("ends", "left")

    def __init__(self, steps: int = MAX_STEPS) -> None:
        self.left = steps
        self.ends: dict[int, int] = {}

    def spend(self, steps: int) -> None:
        """Take steps; raise `RejectedInstance` when there are no more."""
        self.left -= steps
        if self.left < 0:
            raise _too_much()


def _too_much() -> RejectedInstance:
    return RejectedInstance(
        f"the header has too many data elements and items: over {MAX_STEPS} steps"
    )


def read_head(buffer: memoryview, encoding: Encoding, at: int, end: int) -> Head:
    """Read tag, VR and length at `at` (PS3.5 7.1.2, 7.1.3)."""
    if end - at < 8:
        raise RejectedInstance("the data set ends inside a data element")
    structs = _STRUCTS[encoding.little]
    if not encoding.explicit:
        return _implicit_head(buffer, structs, at)
    group, element, raw_vr, length = structs.explicit.unpack_from(buffer, at)
    if group == 0xFFFE:
        return _implicit_head(buffer, structs, at)
    vr = _VR_OF.get(raw_vr)
    if vr is None:
        raise RejectedInstance("a data element has no valid VR; is the transfer syntax right?")
    tag = group << 16 | element
    if vr not in _LONG_VRS:
        return Head(tag, vr, at + 8, length)
    if end - at < 12:
        raise RejectedInstance("the data set ends inside a data element")
    return Head(tag, vr, at + 12, structs.length.unpack_from(buffer, at + 8)[0])


def _implicit_head(buffer: memoryview, structs: _Structs, at: int) -> Head:
    group, element, length = structs.implicit.unpack_from(buffer, at)
    return Head(group << 16 | element, "", at + 8, length)


def item_head(buffer: memoryview, encoding: Encoding, at: int, end: int) -> Head:
    """Read the head of an item, or of what stands in its place."""
    if end - at < 8:
        raise RejectedInstance("a sequence ends without its delimitation item")
    group, element, length = _STRUCTS[encoding.little].implicit.unpack_from(buffer, at)
    return Head(group << 16 | element, "", at + 8, length)


def after(
    buffer: memoryview, encoding: Encoding, head: Head, end: int, budget: Budget
) -> tuple[int, int]:
    """Return where the next element starts, and where the value of this one ends."""
    if head.tag >> 16 == 0xFFFE:
        raise RejectedInstance("a delimitation item stands where a data element must be")
    if head.length != UNDEFINED:
        stop = bounded(head, end)
        return stop, stop
    inside = inner(encoding, head.vr)
    value_end, following = skip(buffer, inside, head.start, end, budget, inside_item=False)
    return following, value_end


def bounded(head: Head, end: int) -> int:
    """Return where a value of defined length ends, which must be within `end`."""
    if head.length == UNDEFINED or head.start + head.length > end:
        raise RejectedInstance("a data element is longer than the data set")
    return head.start + head.length


def inner(encoding: Encoding, vr: str) -> Encoding:
    """UN of undefined length holds implicit little endian whatever is around it (PS3.5 6.2.2)."""
    return Encoding(explicit=False, little=True) if vr == "UN" else encoding


def skip(
    buffer: memoryview, encoding: Encoding, at: int, end: int, budget: Budget, *, inside_item: bool
) -> tuple[int, int]:
    """Pass over a sequence or item of undefined length; return `(end of content, next)`."""
    if at not in budget.ends:
        _walk(buffer, encoding, at, end, budget, inside_item=inside_item)
    return budget.ends[at], budget.ends[at] + 8


def _walk(
    buffer: memoryview, encoding: Encoding, at: int, end: int, budget: Budget, *, inside_item: bool
) -> None:
    """Find the end of a sequence or item of undefined length, and of all that it holds."""
    stack = [(inside_item, encoding, at)]
    for steps in range(budget.left):
        inside, enc, start = stack[-1]
        if end - at < 8:
            raise RejectedInstance("a sequence ends without its delimitation item")
        group, element, length = _STRUCTS[enc.little].implicit.unpack_from(buffer, at)
        tag, vr, at = group << 16 | element, "", at + 8
        if tag == (_ITEM_END if inside else _SEQUENCE_END):
            stack.pop()
            budget.ends[start] = at - 8
            if not stack:
                budget.spend(steps)
                return
            continue
        if inside:
            _, vr, at, length = read_head(buffer, enc, at - 8, end)
        elif tag != ITEM:
            raise RejectedInstance("a sequence holds something other than items")
        if length != UNDEFINED:
            at += length  # beyond the end is found in the next step
            continue
        _enter(stack, inner(enc, vr) if inside else enc, at)
    raise _too_much()


def _enter(stack: list[tuple[bool, Encoding, int]], encoding: Encoding, start: int) -> None:
    """Go one level down: from a sequence into an item, or from an item into a sequence."""
    if len(stack) >= 2 * MAX_DEPTH:
        raise RejectedInstance(f"sequences are nested more than {MAX_DEPTH} deep")
    stack.append((not stack[-1][0], encoding, start))
