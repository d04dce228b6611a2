"""Percentile window on a GPU: a radix select, without the values coming to the host."""

import numpy as np

from kernels._cupy.device import (
    QUADS,
    THREADS,
    batched,
    blocks,
    empty,
    launch,
    native,
    zeros,
)
from kernels.backend import Array

_DIGIT = 11  # bits counted in a pass, as in the kernels
_EACH = 64 * THREADS  # pixels a block counts, where there are enough


def percentile_window(frame: Array, low_rank: int, high_rank: int, bins: int) -> Array:
    """Map the values at the two ranks (0 is the smallest) to 0 and bins - 1, uint16."""
    values = native(frame)
    frames, rows, columns = batched(values)
    size = np.int32(rows * columns)
    passes = -(-8 * values.dtype.itemsize // _DIGIT)
    keys = zeros((frames, 2), np.uint64)
    ranks = empty((frames, 2), np.uint32)
    counts = zeros((passes, frames, 2, 1 << _DIGIT), np.uint32)
    grid = blocks(rows * columns, _EACH), 1, frames
    for number in range(passes):
        place, table = np.int32(number), counts[number]
        counted = (values, size, place, keys, table)
        launch("percentile_window.count", grid, counted, VALUE=values.dtype)
        chosen = (table, keys, ranks, place, np.uint32(low_rank), np.uint32(high_rank))
        launch("percentile_window.choose", (1, 1, frames), chosen, VALUE=values.dtype)
    out = empty(values.shape, np.uint16)
    grid = blocks(rows * columns, QUADS), 1, frames
    arguments = (values, out, size, keys, np.int32(bins))
    launch("percentile_window.stretch", grid, arguments, VALUE=values.dtype)
    return out
