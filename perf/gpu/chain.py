"""The enhancement chain on a batch: by the kernels on the GPU, and by their specification."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from kernels import _cupy, _reference

LEVELS = 4096
CLIP_LIMIT, TILES = 2.0, (8, 8)
WINDOW = (2048.0, 4096.0, "LINEAR", LEVELS)
SIDE = 256


def enhanced(frames: Any) -> Any:
    """Return uint8 (frames, 256, 256) on the device, of uint16 (frames, rows, columns) there."""
    return _chain(_cupy, frames)


def specified(frame: Any) -> Any:
    """Return the same of one frame on the host, by the specification."""
    return _chain(_reference, frame)


def _chain(bodies: ModuleType, frames: Any) -> Any:
    grey = bodies.median3(bodies.window(frames, *WINDOW))
    sharp = bodies.unsharp(bodies.clahe(grey, CLIP_LIMIT, TILES, LEVELS), 1.0, 0.5)
    small = sharp
    if sharp.shape[-2:] != (SIDE, SIDE):
        small = bodies.resample(sharp, (SIDE, SIDE), "auto")
    return bodies.normalise(small, 3.0)
