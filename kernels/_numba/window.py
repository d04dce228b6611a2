"""The LINEAR VOI LUT function on the CPU."""

import numpy as np

from kernels._numba.jit import compiled, native
from kernels.backend import Array


def window(frame: Array, center: float, width: float) -> Array:
    """Return the windowed frame, float32."""
    out = np.empty(frame.shape, np.float32)
    _window(native(frame).reshape(-1), center - 0.5, width - 1, out.reshape(-1))
    return out


@compiled
def _window(values: Array, middle: float, span: float, out: Array) -> None:
    low = middle - span / 2
    high = middle + span / 2
    for i in range(values.size):
        x = np.float64(values[i])
        if x <= low:
            out[i] = np.float32(0)
        elif x > high:
            out[i] = np.float32(1)
        else:
            out[i] = np.float32(min(max((x - middle) / span + 0.5, 0.0), 1.0))
