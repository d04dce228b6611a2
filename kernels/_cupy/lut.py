"""PS3.3 C.11.1.1.1 on a GPU."""

import numpy as np

from kernels._cupy.device import QUADS, blocks, constant, empty, launch, native
from kernels.backend import Array, on_host

_KERNELS = {1: "lut.look_up_8", 2: "lut.look_up_16", 4: "lut.look_up_32"}


def lut(frame: Array, table: Array, first: int) -> Array:
    """Return the entry of each value, in the dtype of `table`; a table of the host is kept."""
    if on_host(table):
        table = constant(np.frombuffer, table.tobytes(), table.dtype)
    values = native(frame)
    out = empty(values.shape, table.dtype)
    moved = np.dtype(f"u{table.itemsize}")
    half = np.float64(0.5 if frame.dtype.kind == "f" else 0.0)
    last = np.int32(table.size - 1)
    size = np.int64(values.size)
    arguments = (values, out.view(moved), size, table.view(moved), last, np.float64(first), half)
    grid = (blocks(values.size, QUADS),)
    launch(_KERNELS[table.itemsize], grid, arguments, VALUE=values.dtype)
    return out
