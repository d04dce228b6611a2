"""Frames for both ways of preprocessing, and how the tests ask for their pictures."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
from frame_messages import frame

from engine.decode import decode
from engine.enhance import enhance
from engine.messages import FrameMessage
from engine.metrics import StageTimes
from engine.preprocess import Preprocessor
from tests.test_kernels.frames import picture

CAPS = {"max_frame_bytes": 2**24}
LIMIT_S = 30.0


def native(pixels: np.ndarray, **given: Any) -> FrameMessage:
    """Return a frame of native pixels with these stored values."""
    size = pixels.dtype.itemsize * 8
    module = {
        "rows": pixels.shape[0],
        "columns": pixels.shape[1],
        "samples_per_pixel": pixels.shape[2] if pixels.ndim == 3 else 1,
        "bits_allocated": size,
        "bits_stored": size,
        "pixel_representation": int(pixels.dtype.kind == "i"),
    }
    return frame(pixels.tobytes(), **(module | given))


def all_sorts() -> list[FrameMessage]:
    """Return frames of every shape, dtype and meaning that a chain takes."""
    shapes = [(256, 256), (512, 400), (100, 231), (1, 1), (3, 300), (131, 77)]
    dtypes = (np.uint8, np.int16, np.uint16)
    plain = [native(picture(s, dtype=d, top=255)) for s in shapes for d in dtypes]
    grey = picture((90, 64), dtype=np.int16)
    colour = np.stack([picture((50, 40), dtype=np.uint8, top=255, seed=i) for i in range(3)], -1)
    return [
        *plain,
        native(grey, rescale_slope=2.0, rescale_intercept=-1024.0),
        native(grey, photometric_interpretation="MONOCHROME1"),
        native(grey, window_center=300.0, window_width=400.0),
        native(colour, photometric_interpretation="RGB"),
        native(np.full((40, 50), 7, np.uint16)),
    ]


def values(bits: int, signed: bool, seed: int = 0) -> np.ndarray:
    """Return a picture that uses the whole range of so many bits."""
    grey = picture((70, 48), seed=seed).astype(np.float64)
    levels = np.round((grey - grey.min()) / np.ptp(grey) * (2**bits - 1)).astype(np.int64)
    return (levels - signed * 2 ** (bits - 1)).astype(f"{'ui'[signed]}{1 if bits <= 8 else 2}")


async def prepared(
    by: Preprocessor, messages: list[FrameMessage], chain: str = "cine"
) -> list[np.ndarray | BaseException]:
    """Return the picture of each, all asked for at once, or what was raised."""
    asked = (by.prepare(one, chain, StageTimes()) for one in messages)
    async with asyncio.timeout(LIMIT_S):
        answers = await asyncio.gather(*asked, return_exceptions=True)
    return [one if isinstance(one, BaseException) else one[0] for one in answers]


def wanted(message: FrameMessage, chain: str = "cine") -> np.ndarray:
    """Return the picture that both ways have to give."""
    return enhance(decode(message, **CAPS), message.info, chain)
