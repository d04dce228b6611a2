"""PS3.3 C.11.1.1.2 on the CPU."""

import numpy as np

from kernels._numba.jit import compiled, native
from kernels.backend import Array


def modality(frame: Array, slope: float, intercept: float) -> Array:
    """Return slope * frame + intercept as float32."""
    out = np.empty(frame.shape, np.float32)
    _rescale(native(frame).reshape(-1), slope, intercept, out.reshape(-1))
    return out


@compiled
def _rescale(stored: Array, slope: float, intercept: float, out: Array) -> None:
    for i in range(stored.size):
        out[i] = np.float32(np.float64(stored[i]) * slope + intercept)
