"""The VOI LUT functions on a GPU."""

from typing import Any

import numpy as np

from kernels._cupy.device import QUADS, blocks, empty, launch, native
from kernels.backend import Array


def window(frame: Array, center: float, width: float, function: str, bins: int) -> Array:
    """Return the windowed frame: float32 in [0, 1], or for `bins` above 0 that many levels."""
    values = native(frame)
    out = empty(values.shape, np.uint16 if bins else np.float32)
    grid = (blocks(values.size, QUADS),)
    given = voi(center, width, function)
    arguments: tuple[Any, ...] = (values, out, np.int64(values.size))
    if bins:
        launch("window.levels", grid, (*arguments, *given, np.int32(bins)), VALUE=values.dtype)
    elif function == "SIGMOID":
        launch("window.grey", grid, (*arguments, *given), VALUE=values.dtype)
    else:
        _, middle, span, low, high = given
        slope = np.float64(1 / max(span, np.finfo(np.float64).tiny))
        launch("window.ramp", grid, (*arguments, middle, slope, low, high), VALUE=values.dtype)
    return out


def voi(center: float, width: float, function: str) -> tuple[Any, ...]:
    """Return what the kernels take as a VOI LUT function: `Voi` in prelude.cuh, in its order."""
    if function == "LINEAR":
        center, width = center - 0.5, width - 1
    edges = np.float64(center - width / 2), np.float64(center + width / 2)
    return np.int32(function == "SIGMOID"), np.float64(center), np.float64(width), *edges
