"""Compiled decoders made ready before the first frame comes."""

from __future__ import annotations

import struct

from engine import wire
from engine.decode.registry import decode
from engine.messages import FrameInfo, FrameMessage

# 0 to 15 in 4 rows: PackBits of both bytes; JPEG lossless, JPEG-LS.
_RLE = struct.pack("<16L", 2, 64, 66, *[0] * 13) + b"\xf1\x00\x0f" + bytes(range(16)) + b"\x00"
_LOSSLESS = bytes.fromhex(
    "ffd8ffc3000b0c0004000401011100ffc40016000101010000000000000000000000000001030c"
    "ffda0008010100010000cffead15a2b457ffd9"
)
_JPEG_LS = bytes.fromhex(
    "ffd8fff7000b100004000401011100fff8000d01ffff0012004301140040ffda00080101000000"
    "00a00c018030220140080503403018010480c06000ffd9"
)


def warm() -> None:
    """Compile, or load from the cache, every body that decoding uses.

    Processes of isolated decoders are not started: each takes its memory only where it is needed.
    """
    wire.warm()
    for part, value in (("5", _RLE), ("4.70", _LOSSLESS), ("4.80", _JPEG_LS)):
        decode(_message("1.2.840.10008.1.2." + part, value), max_frame_bytes=1024)


def _message(syntax: str, value: bytes) -> FrameMessage:
    info = FrameInfo(
        sop_class_uid="",
        sop_instance_uid="",
        study_instance_uid="",
        series_instance_uid="",
        frame_number=1,
        transfer_syntax_uid=syntax,
        rows=4,
        columns=4,
        bits_allocated=16,
        bits_stored=12,
        high_bit=11,
        photometric_interpretation="MONOCHROME2",
    )
    return FrameMessage(
        info=info, value=value, source="", time="", traceparent="", accepted_ns=0, deadline_ms=0
    )
