"""What a compressed frame must be before any decoder sees it, whichever decoder that is."""

from __future__ import annotations

from engine.decode import codestream
from engine.decode.codestream import Codestream
from engine.decode.syntaxes import (
    HTJ2K,
    JPEG,
    JPEG_2000,
    JPEG_BASELINE,
    JPEG_EXTENDED,
    JPEG_LOSSLESS,
    JPEG_LS,
    RLE,
)
from engine.errors import DecodeFailed
from engine.messages import FrameInfo

_FRAME_TYPES: dict[str, set[int]] = {  # the SOF markers that a syntax allows (PS3.5 8.2.1, 8.2.3)
    JPEG_BASELINE: {0xC0},
    JPEG_EXTENDED: {0xC0, 0xC1},
    **{syntax: {0xC3} for syntax in JPEG_LOSSLESS},
    **{syntax: {0xF7} for syntax in JPEG_LS},
}
_DEPTHS = {JPEG_BASELINE: {8}, JPEG_EXTENDED: {8, 12}}  # ISO/IEC 10918-1 table B.2


def vetted(value: bytes, info: FrameInfo) -> Codestream:
    """Return what the frame's codestream says of itself; raise `DecodeFailed` if it cannot be.

    Nothing has been decoded or allocated then, but the kind, size and depth are those of `info`.
    """
    syntax = info.transfer_syntax_uid
    if syntax == RLE:
        codestream.rle_segments(value, info)
        return Codestream(info.rows, info.columns, info.samples_per_pixel, info.bits_allocated)
    if syntax in JPEG_2000 or syntax in HTJ2K:
        found = codestream.read_j2k(value)
        codestream.check_matches(found, info)
        codestream.check_packets(value, found)
    else:
        found = codestream.read_jpeg(value)
        _check_kind(found, syntax)
        codestream.check_matches(found, info)
    codestream.check_complete(value)
    return found


def _check_kind(found: Codestream, syntax: str) -> None:
    if found.frame_type not in _FRAME_TYPES[syntax]:
        raise DecodeFailed(
            f"the codestream is of another kind (SOF marker 0x{found.frame_type:02X}) than its "
            "transfer syntax"
        )
    if found.precision not in _DEPTHS.get(syntax, range(2, 17)):
        raise DecodeFailed(f"the JPEG codestream has an impossible depth, {found.precision} bits")


def photometric(found: Codestream, info: FrameInfo) -> str:
    """Return what pydicom would correct the interpretation to, so that it does not warn.

    Component ids in ASCII say RGB, a JFIF segment says YBR.
    """
    given = info.photometric_interpretation
    if info.samples_per_pixel != 3 or not info.transfer_syntax_uid.startswith(JPEG):
        return given
    if found.component_ids in (b"RGB", b"rgb"):
        return "RGB"
    if found.is_jfif and "YBR" not in given:
        return "YBR_FULL_422" if info.transfer_syntax_uid == JPEG_BASELINE else "YBR_FULL"
    return given
