"""The LINEAR VOI LUT function on the CPU."""

import numpy as np

from kernels._numba.jit import compiled, native
from kernels.backend import Array


def window(frame: Array, center: float, width: float) -> Array:
    """Return the windowed frame, float32."""
    out = np.empty(frame.shape, np.float32)
    values = native(frame).reshape(-1)
    if width == 1:
        _threshold(values, center - 0.5, out.reshape(-1))
    else:
        _ramp(values, center - 0.5, 1 / (width - 1), out.reshape(-1))
    return out


@compiled
def _ramp(values: Array, middle: float, slope: float, out: Array) -> None:
    for i in range(values.size):
        level = (np.float64(values[i]) - middle) * slope + 0.5
        out[i] = np.float32(min(max(level, 0.0), 1.0))


@compiled
def _threshold(values: Array, edge: float, out: Array) -> None:
    for i in range(values.size):
        out[i] = np.float32(values[i] > edge)
