"""Lossless codestreams of any depth and sign, as frame messages."""

from __future__ import annotations

from typing import Any

import imagecodecs
import numpy as np
from frame_messages import frame

from engine.messages import FrameMessage

JPEG_LOSSLESS = "1.2.840.10008.1.2.4.70"
JPEG_2000 = "1.2.840.10008.1.2.4.90"
HTJ2K = "1.2.840.10008.1.2.4.201"


def compressed(pixels: np.ndarray, syntax: str, bits: int, **given: Any) -> FrameMessage:
    """Return the frame of these stored values, in a codestream that declares `bits`."""
    if syntax == JPEG_LOSSLESS:
        value = imagecodecs.ljpeg_encode(pixels.view(f"u{pixels.itemsize}"), bitspersample=bits)
    elif syntax == HTJ2K:
        value = imagecodecs.htj2k_encode(pixels, reversible=True)
    else:
        value = imagecodecs.jpeg2k_encode(
            pixels, level=0, reversible=True, bitspersample=bits, codecformat="j2k"
        )
    module = {
        "rows": pixels.shape[0],
        "columns": pixels.shape[1],
        "bits_allocated": pixels.itemsize * 8,
        "bits_stored": bits,
        "pixel_representation": int(pixels.dtype.kind == "i"),
        "transfer_syntax_uid": syntax,
    }
    return frame(value, **(module | given))
