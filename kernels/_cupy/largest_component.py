"""Connected components on a GPU, by union and find."""

import numpy as np

from kernels._cupy.device import batched, blocks, empty, launch, native, zeros
from kernels.backend import Array


def largest_component(mask: Array) -> Array:
    """Return the labels of the largest component, uint8."""
    labels = native(mask)
    masks, rows, columns = batched(labels)
    size = np.int32(rows * columns)
    parents, out = empty(labels.shape, np.int32), empty(labels.shape, np.uint8)
    sizes, largest = zeros(labels.shape, np.uint32), zeros((masks,), np.uint64)
    flat = blocks(rows * columns), 1, masks
    launch("largest_component.start", flat, (labels, parents, size))
    grid = blocks(columns), rows, masks
    launch("largest_component.connect", grid, (parents, np.int32(rows), np.int32(columns)))
    launch("largest_component.measure", flat, (parents, sizes, size))
    launch("largest_component.choose", flat, (sizes, largest, size))
    launch("largest_component.keep", flat, (labels, parents, largest, out, size))
    return out
