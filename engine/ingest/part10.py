"""The head of a DICOM file (PS3.10 7.1): a zeroed preamble and our own meta information."""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import Final

# 2.25. and a UUID of the project's own, made once (PS3.5 B.2). It names what wrote the head.
IMPLEMENTATION_CLASS_UID: Final = "2.25.8840811404923356965836427309835094077"
IMPLEMENTATION_VERSION_NAME: Final = "SCANSTREAM"


@lru_cache(maxsize=1024)
def file_head(sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str) -> bytes:
    """Return what stands before the data set in a file of it.

    It depends on nothing else, so that an object has the same bytes whichever way, and however
    often, it came. The preamble is zeros: what a sender put there could be a program
    (CVE-2019-11687).
    """
    elements = b"".join(
        (
            struct.pack("<HH2sHL", 2, 0x0001, b"OB", 0, 2) + b"\x00\x01",
            _text(0x0002, "UI", sop_class_uid),
            _text(0x0003, "UI", sop_instance_uid),
            _text(0x0010, "UI", transfer_syntax_uid),
            _text(0x0012, "UI", IMPLEMENTATION_CLASS_UID),
            _text(0x0013, "SH", IMPLEMENTATION_VERSION_NAME),
        )
    )
    length = struct.pack("<HH2sHL", 2, 0x0000, b"UL", 4, len(elements))
    return bytes(128) + b"DICM" + length + elements


def _text(element: int, vr: str, text: str) -> bytes:
    value = text.encode("ascii")
    if len(value) % 2:
        value += b"\0" if vr == "UI" else b" "  # PS3.5 6.2
    return struct.pack("<HH2sH", 2, element, vr.encode(), len(value)) + value
