"""Connected components on the CPU, by flood fill in raster order."""

import numpy as np

from kernels._numba.jit import compiled, native
from kernels.backend import Array


def largest_component(mask: Array) -> Array:
    """Return the labels of the largest component, uint8."""
    out = np.zeros(mask.shape, np.uint8)
    _keep_largest(native(mask), out)
    return out


@compiled
def _keep_largest(mask: Array, out: Array) -> None:
    rows, columns = mask.shape
    component = np.zeros((rows, columns), np.int32)
    stack = np.empty(mask.size, np.int64)
    number = best = best_size = 0
    for y in range(rows):
        for x in range(columns):
            if mask[y, x] and not component[y, x]:
                number += 1
                size = _fill(mask, component, stack, y, x, number)
                if size > best_size:
                    best, best_size = number, size
    if best:
        _copy_one(mask, component, best, out)


@compiled
def _copy_one(mask: Array, component: Array, number: int, out: Array) -> None:
    for y in range(mask.shape[0]):
        for x in range(mask.shape[1]):
            if component[y, x] == number:
                out[y, x] = mask[y, x]


@compiled
def _fill(mask: Array, component: Array, stack: Array, y: int, x: int, number: int) -> int:
    """Number the component that holds (y, x); return its size in pixels."""
    rows, columns = mask.shape
    component[y, x] = number
    stack[0] = y * columns + x
    waiting = 1
    size = 0
    while waiting:
        waiting -= 1
        size += 1
        y, x = divmod(stack[waiting], columns)
        for j in range(max(y - 1, 0), min(y + 2, rows)):
            for i in range(max(x - 1, 0), min(x + 2, columns)):
                if mask[j, i] and not component[j, i]:
                    component[j, i] = number
                    stack[waiting] = j * columns + i
                    waiting += 1
    return size
