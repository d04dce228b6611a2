"""Connected components on a GPU, numbered by counting their first pixels. One mask a call."""

import numpy as np

from kernels._cupy.device import blocks, empty, launch, native
from kernels.backend import Array


def components(mask: Array, connectivity: int) -> tuple[Array, Array]:
    """Return int32 numbers in raster order of each piece's first pixel, and how many: int32 ()."""
    parents = forest(native(mask), connectivity)
    size, grid = np.int32(mask.size), (blocks(mask.size),)
    counts, total = empty((grid[0],), np.int32), empty((), np.int32)
    numbers = empty(mask.shape, np.int32)
    launch("components.count_roots", grid, (parents, counts, size))
    launch("components.scan", (1,), (counts, np.int32(grid[0]), total))
    launch("components.number_roots", grid, (parents, counts, numbers, size))
    launch("components.number", grid, (parents, numbers, size))
    return numbers, total


def forest(mask: Array, connectivity: int) -> Array:
    """Return each pixel's parent, int32, -1 outside: a tree for each connected piece of a mask."""
    rows, columns = mask.shape
    parents = empty(mask.shape, np.int32)
    launch("largest_component.start", (blocks(mask.size),), (mask, parents, np.int32(mask.size)))
    connect = "components.connect_edges" if connectivity == 4 else "largest_component.connect"
    launch(connect, (blocks(columns), rows), (parents, np.int32(rows), np.int32(columns)))
    return parents
