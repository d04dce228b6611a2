"""Connected components on the CPU, by flood fill in raster order."""

import numpy as np

from kernels._numba.jit import compiled
from kernels.backend import Array


def largest_component(mask: Array) -> Array:
    """Return the labels of the largest component, uint8."""
    rows, columns = mask.shape
    # an empty border spares the fill all questions about edges
    bordered = np.zeros((rows + 2, columns + 2), np.uint8)
    bordered[1:-1, 1:-1] = mask
    kept = np.zeros_like(bordered)
    queue = np.empty(np.count_nonzero(mask), np.int64)
    _keep_largest(bordered.reshape(-1), columns + 2, queue, kept.reshape(-1))
    return np.ascontiguousarray(kept[1:-1, 1:-1])


@compiled
def _keep_largest(mask: Array, stride: int, queue: Array, kept: Array) -> None:
    """Line up the pixels in `queue`, one component after the other; copy the longest stretch."""
    waiting = mask.copy()
    best_begin = best_end = end = 0
    for first in range(mask.size):
        if waiting[first]:
            begin = end
            end = _fill(waiting, first, stride, queue, begin)
            if end - begin > best_end - best_begin:
                best_begin, best_end = begin, end
    for at in queue[best_begin:best_end]:
        kept[at] = mask[at]


@compiled
def _fill(waiting: Array, first: int, stride: int, queue: Array, end: int) -> int:
    """Append the component of pixel `first` to the queue; return where the queue now ends."""
    head = end
    queue[end] = first
    waiting[first] = 0
    end += 1
    while head < end:
        above = queue[head] - stride - 1
        head += 1
        for row in range(above, above + 2 * stride + 1, stride):
            for at in range(row, row + 3):
                if waiting[at]:
                    waiting[at] = 0
                    queue[end] = at
                    end += 1
    return end
