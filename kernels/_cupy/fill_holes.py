"""Filled holes on a GPU. One mask a call."""

import numpy as np

from kernels._cupy.components import forest
from kernels._cupy.device import blocks, empty, launch, native
from kernels.backend import Array


def fill_holes(mask: Array) -> Array:
    """Return uint8, 1 where the mask or one of its holes is."""
    rows, columns = mask.shape
    background, out = empty((rows + 2, columns + 2), np.uint8), empty(mask.shape, np.uint8)
    sizes = np.int32(rows), np.int32(columns)
    launch("fill_holes.frame", (blocks(columns + 2), rows + 2), (native(mask), background, *sizes))
    parents = forest(background, 4)
    launch("fill_holes.fill", (blocks(columns), rows), (parents, out, np.int32(columns)))
    return out
