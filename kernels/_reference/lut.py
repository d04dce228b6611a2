"""PS3.3 C.11.1.1.1: what is outside takes the first or the last entry."""

import numpy as np

from kernels.backend import Array


def lut(frame: Array, table: Array, first: int) -> Array:
    """Return the entry of each value, in the dtype of `table`."""
    values = np.floor(frame + 0.5) if frame.dtype.kind == "f" else frame
    index = np.clip(values.astype(np.float64) - first, 0, table.size - 1).astype(np.int64)
    entries: Array = table[index]
    return entries
