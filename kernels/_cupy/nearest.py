"""Nearest neighbour between pixel centres, on a GPU."""

import numpy as np

from kernels._cupy.device import batched, blocks, empty, launch, native
from kernels.backend import Array


def nearest(mask: Array, shape: tuple[int, int]) -> Array:
    """Return for each new pixel the label of the old pixel that its centre lies in, uint8."""
    labels = native(mask)
    masks, *before = batched(labels)
    out = empty((*mask.shape[:-2], *shape), np.uint8)
    arguments = (labels, out, *(np.int32(side) for side in (*before, *shape)))
    launch("nearest.nearest", (blocks(shape[1]), shape[0], masks), arguments)
    return out
