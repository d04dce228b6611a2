"""Lossless codestreams that any decoder gives back exactly: declared unsigned, of 16 bits.

DALI's decoder refuses signed JPEG 2000, and stretches fewer bits over the range of its output type.
A reversible codestream does not depend on the depth that its header declares but for one constant:
JPEG 2000 adds 2^(P-1) to unsigned samples after the transform and nothing to signed ones (ISO/IEC
15444-1 G.1), and the predictors of lossless JPEG begin at 2^(P-1) (ISO/IEC 10918-1 H.1.2.1), their
weights adding up to one. So P is set to 16, and what that adds is taken away again, modulo 2^16.
"""

from __future__ import annotations

import struct

import numpy as np

from engine.decode.checks import check_pixel_module, dtype_of
from engine.decode.syntaxes import JPEG, JPEG_LOSSLESS
from engine.decode.vetting import vetted
from engine.errors import DecodeFailed
from engine.messages import FrameInfo, FrameMessage
from engine.preprocess.direct import Array

_REVERSIBLE_J2K = frozenset({JPEG + "90", JPEG + "201", JPEG + "202"})
SYNTAXES = JPEG_LOSSLESS | _REVERSIBLE_J2K
_SOC_SIZ = b"\xff\x4f\xff\x51"
_COD, _COC, _SOF3 = 0x52, 0x53, 0xC3
_LAST = frozenset({0x90, 0xDA})  # SOT, SOS: the headers of the whole frame end


def declare_sixteen_bits(
    message: FrameMessage, *, max_frame_bytes: int
) -> tuple[bytes, int] | None:
    """Return the frame's codestream with another depth in its header, and what decoding then adds.

    None where that cannot be exact: another syntax, several samples, more than 16 bits, a transform
    that is not reversible. Raises `DecodeFailed` where `engine.decode` refuses the header.
    """
    info = message.info
    if info.transfer_syntax_uid not in SYNTAXES or message.codec != "none":
        return None
    check_pixel_module(info, max_frame_bytes=max_frame_bytes)
    found = vetted(message.value, info)
    if info.samples_per_pixel != 1 or info.bits_allocated not in (8, 16):
        return None
    is_j2k = info.transfer_syntax_uid in _REVERSIBLE_J2K
    stream = message.value[max(0, message.value.find(_SOC_SIZ)) :] if is_j2k else message.value
    segments = _segments(stream)
    if is_j2k:
        if _COC in segments or stream[segments[_COD] + 9] != 1:  # SPcod: 1 is the 5-3 transform
            return None
        at, depth = 42, 15  # Ssiz of the first component: depth less one, the sign above it
    else:
        at, depth = segments[_SOF3], 16
    unsigned = 0 if found.is_signed else 1 << (found.precision - 1)
    return stream[:at] + bytes([depth]) + stream[at + 1 :], (1 << 15) - unsigned


def stored_values(decoded: Array, info: FrameInfo, added: int) -> Array:
    """Return the stored values, (rows, columns), of what was declared to have 16 bits.

    `decoded`: uint16 (rows, columns) of NumPy or CuPy. The dtype and the unused bits are as
    `engine.decode` gives them (PS3.5 8.1.1). Waits for nothing.
    """
    values = decoded - decoded.dtype.type(added)  # modulo 2^16, as meant
    if info.pixel_representation:
        values = values.view(np.int16)
    unused = 16 - info.bits_stored
    stored: Array = ((values << unused) >> unused).astype(dtype_of(info), copy=False)
    return stored


def _segments(stream: bytes) -> dict[int, int]:
    """Return where the contents of each marker segment of the main header begin (the first)."""
    found: dict[int, int] = {}
    offset = 2
    while offset + 4 <= len(stream) and stream[offset] == 0xFF:
        marker = stream[offset + 1]
        if marker in _LAST:
            return found
        if marker == 0xFF:  # a fill byte
            offset += 1
            continue
        (length,) = struct.unpack_from(">H", stream, offset + 2)
        found.setdefault(marker, offset + 4)
        offset += 2 + max(2, length)
    raise DecodeFailed("the header of the codestream is cut off")
