"""Window, resample, normalise and cast on a GPU; the frame itself is read once."""

import numpy as np

from kernels._cupy.device import batched, blocks, empty, launch, native
from kernels._cupy.normalise import normalise
from kernels._cupy.resample import along
from kernels._cupy.taps import taps
from kernels._cupy.window import voi, window
from kernels.backend import Array


def window_resample_normalise(
    frame: Array,
    center: float,
    width: float,
    function: str,
    shape: tuple[int, int],
    method: str,
    spread: float,
) -> Array:
    """Return the picture, uint8 of `shape`."""
    if shape == frame.shape[-2:]:
        return normalise(window(frame, center, width, function, 0), spread)
    values = native(frame)
    frames, rows, columns = batched(values)
    between = empty((frames, shape[0], columns), np.float64)
    first, weights = taps(rows, shape[0], method)
    sizes = (np.int32(weights.shape[1]), np.int32(rows), np.int32(columns))
    arguments = (values, between, first, weights, *sizes, *voi(center, width, function))
    grid = blocks(columns), shape[0], frames
    launch("window_resample_normalise.down", grid, arguments, VALUE=values.dtype)
    single = np.dtype(np.float32)
    small = along(between, single, single, shape[1], method)
    return normalise(small.reshape((*frame.shape[:-2], *shape)), spread)
