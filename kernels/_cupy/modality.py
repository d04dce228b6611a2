"""PS3.3 C.11.1.1.2 on a GPU."""

import numpy as np

from kernels._cupy.device import QUADS, blocks, empty, launch, native
from kernels.backend import Array


def modality(frame: Array, slope: float, intercept: float) -> Array:
    """Return slope * frame + intercept as float32."""
    values = native(frame)
    out = empty(values.shape, np.float32)
    size = np.int64(values.size)
    arguments = (values, out, size, np.float64(slope), np.float64(intercept))
    launch("modality.rescale", (blocks(values.size, QUADS),), arguments, VALUE=values.dtype)
    return out
