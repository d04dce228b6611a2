"""The whole path as a plain loop: pydicom, scikit-image, ONNX Runtime, one process.

What a careful user would write without a streaming engine: the fastest of pydicom's plug-ins, CLAHE
and resize of scikit-image, ONNX Runtime with a thread for each core and everything optimised, on
the same weights in single precision. The mask comes back on the frame's own grid with its area.
"""

from __future__ import annotations

import time
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pydicom.dataset import Dataset
from skimage.transform import resize

from perf.baselines.clahe import scikit_image
from perf.baselines.decode import pixel_array, plugins
from perf.baselines.unet import onnx_runtime

Array = np.ndarray[Any, np.dtype[Any]]
SIDE, LEVELS, SPREAD = 256, 4096, 4.0
BINS = 256  # its default: a third quicker than our 4,096, and the masks are as good
TRIES = 3


class Found(NamedTuple):
    """A frame's cavity: uint8 (rows, columns), its area in mm2, the model's confidence."""

    mask: Array
    area_mm2: float
    confidence: float


class PlainLoop:
    """Segments one frame after the other on `threads` threads of ONNX Runtime."""

    def __init__(self, model: Path, *, threads: int) -> None:
        self._run = onnx_runtime(model, threads=threads)

    def __call__(self, found: Dataset) -> Found:
        """Return what is in one object of one frame."""
        pixels = pixel_array(found, fastest_plugin(found))
        picture = enhanced(pixels)
        mask, confidence = self._run(picture[None, None])
        whole = placed(mask[0], pixels.shape)
        spacing = found.PixelSpacing
        area_mm2 = float(whole.sum()) * float(spacing[0]) * float(spacing[1])
        return Found(whole, area_mm2, float(confidence[0, 0]))


def enhanced(pixels: Array) -> Array:
    """Return what the model takes, uint8 (256, 256): the chain "cine" in scikit-image.

    Percentiles to levels, CLAHE, mean and spread to 256 levels, the longer side resized to 256.
    """
    low, high = np.percentile(pixels, (1.0, 99.5))
    grey = np.clip((pixels - low) / max(high - low, 1), 0, 1)
    levels = (grey * (LEVELS - 1) + 0.5).astype(np.uint16)
    equal = scikit_image(levels, 2.0, 8, BINS)
    scaled = (equal - equal.mean()) * (255 / (2 * SPREAD * equal.std())) + 127.5
    clipped = np.clip(scaled, 0, 255)
    if max(clipped.shape) != SIDE:
        clipped = resize(clipped, _inside(pixels.shape), anti_aliasing=True)
    canvas = np.zeros((SIDE, SIDE), np.uint8)
    top, left = ((SIDE - side) // 2 for side in clipped.shape)
    canvas[top : top + clipped.shape[0], left : left + clipped.shape[1]] = clipped + 0.5
    return canvas


def placed(mask: Array, shape: tuple[int, ...]) -> Array:
    """Return the model's mask on the frame's grid, uint8 of `shape`."""
    if mask.shape == shape:
        return mask.copy()
    rows, columns = _inside(shape)
    top, left = (SIDE - rows) // 2, (SIDE - columns) // 2
    inside = mask[top : top + rows, left : left + columns]
    whole: Array = resize(inside, shape, order=0, preserve_range=True).astype(np.uint8)
    return whole


def fastest_plugin(found: Dataset) -> str:
    """Return the plug-in of pydicom with the best of three times on this transfer syntax."""
    syntax = str(found.file_meta.TransferSyntaxUID)
    if syntax not in _FASTEST:
        _FASTEST[syntax] = min(plugins(syntax), key=lambda plugin: _seconds(found, plugin))
    return _FASTEST[syntax]


_FASTEST: dict[str, str] = {}


def _seconds(found: Dataset, plugin: str) -> float:
    times = []
    for _ in range(TRIES):
        start = time.perf_counter()
        pixel_array(found, plugin)
        times.append(time.perf_counter() - start)
    return min(times)


@cache
def _inside(shape: tuple[int, ...]) -> tuple[int, int]:
    rows, columns = (max(1, round(side * SIDE / max(shape))) for side in shape[:2])
    return rows, columns
