"""The lookup tables of a PALETTE COLOR image (PS3.3 C.7.6.3.1.5, C.7.6.3.1.6)."""

from __future__ import annotations

import struct
from typing import Final

import numpy as np

from engine.errors import RejectedInstance
from engine.ingest.elements import Block
from engine.messages import Palette

MAX_ENTRIES: Final = 4096  # every frame's message carries the tables
_COLOURS: Final = ("Red", "Green", "Blue")


def palette(block: Block) -> Palette | None:
    """Return the tables, 8 bits an entry, or None for those that no message can carry.

    Those are segmented tables and tables of more than `MAX_ENTRIES`. Raise `RejectedInstance` where
    the three descriptors differ, or a table is not as long as its descriptor says.
    """
    if block.value("SegmentedRedPaletteColorLookupTableData") is not None:
        return None
    descriptors = {_descriptor(block, colour) for colour in _COLOURS}
    if len(descriptors) > 1:
        raise RejectedInstance("the palette's three descriptors must be the same")
    ((entries, first, bits),) = descriptors
    tables = [_table(block, colour, entries, bits) for colour in _COLOURS]
    if entries > MAX_ENTRIES:
        return None
    return Palette(first=first, red=tables[0], green=tables[1], blue=tables[2])


def _descriptor(block: Block, colour: str) -> tuple[int, int, int]:
    """Return the number of entries, the value that the first one stands for, bits per entry."""
    keyword = f"{colour}PaletteColorLookupTableDescriptor"
    found = block.value(keyword)
    if found is None or len(found[1]) != 6:
        raise RejectedInstance(f"{keyword} is missing or does not have three values")
    signed = block.whole("PixelRepresentation") == 1
    order = block.encoding.order
    entries, first, bits = struct.unpack(f"{order}H{'h' if signed else 'H'}H", found[1])
    if bits not in (8, 16):
        raise RejectedInstance(f"{keyword} must say 8 or 16 bits")
    return entries or 65536, first, bits


def _table(block: Block, colour: str, entries: int, bits: int) -> bytes:
    """Return one byte an entry: itself where it has 8 bits, the high byte of 16.

    Older objects have the tables as US.
    """
    keyword = f"{colour}PaletteColorLookupTableData"
    found = block.value(keyword, "US")
    length = 0 if found is None else len(found[1])
    if found is None or length not in (entries, entries + entries % 2, 2 * entries):
        raise RejectedInstance(f"{keyword} is missing or is not as long as its descriptor says")
    words = np.frombuffer(bytes(found[1]) + bytes(length % 2), f"{block.encoding.order}u2")
    if length == 2 * entries:  # entries of 8 bits lie in words, too, in some real objects
        return (words >> (bits - 8)).astype(np.uint8).tobytes()
    return words.astype("<u2").tobytes()[:entries]
