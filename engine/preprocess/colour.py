"""The colour space that a frame's JPEG codestream is in, where its header says another."""

from __future__ import annotations

import msgspec

from engine.decode.syntaxes import JPEG_LOSSY
from engine.decode.vetting import photometric, vetted
from engine.errors import DecodeFailed
from engine.messages import FrameMessage


def as_coded(message: FrameMessage) -> FrameMessage:
    """Return the message with the PhotometricInterpretation that its codestream has.

    JPEG decoders give the values as they were coded. Of colour, a JFIF segment says YBR and
    component ids in ASCII say RGB; the headers of real objects say RGB of the first, too. Other
    frames come back as they are, and so does one that decoding will refuse. Waits for nothing.
    """
    info = message.info
    if info.samples_per_pixel != 3 or info.transfer_syntax_uid not in JPEG_LOSSY:
        return message
    try:
        meaning = photometric(vetted(message.value, info), info)
    except DecodeFailed:
        return message
    if meaning == info.photometric_interpretation:
        return message
    known = msgspec.structs.replace(info, photometric_interpretation=meaning)
    return msgspec.structs.replace(message, info=known)
