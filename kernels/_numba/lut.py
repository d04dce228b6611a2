"""PS3.3 C.11.1.1.1 on the CPU."""

import numpy as np

from kernels._numba.jit import compiled, native
from kernels.backend import Array


def lut(frame: Array, table: Array, first: int) -> Array:
    """Return the entry of each value, in the dtype of `table`."""
    entries = np.ascontiguousarray(table).view()
    entries.flags.writeable = False
    out = np.empty(frame.shape, entries.dtype)
    # entries are only moved: four dtypes of the same width share one compilation
    moved = np.dtype(f"u{entries.itemsize}")
    half = 0.5 if frame.dtype.kind == "f" else 0.0
    values = native(frame).reshape(-1)
    _look_up(values, entries.view(moved), float(first), half, out.view(moved).reshape(-1))
    return out


@compiled
def _look_up(values: Array, table: Array, first: float, half: float, out: Array) -> None:
    last = np.float64(table.size - 1)
    for i in range(values.size):
        index = np.floor(np.float64(values[i]) + half) - first
        out[i] = table[np.int64(min(max(index, 0.0), last))]
