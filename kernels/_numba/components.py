"""Connected components on the CPU: provisional labels in one pass, joined by union and find."""

import numpy as np

from kernels._numba.jit import compiled
from kernels.backend import Array


def components(mask: Array, connectivity: int) -> tuple[Array, int]:
    """Return int32 numbers in raster order of each piece's first pixel, and how many there are."""
    rows, columns = mask.shape
    # an empty row above and column on either side spare the pass all questions about edges
    labels = np.zeros((rows + 1, columns + 2), np.int32)
    parent = np.zeros((mask.size + 1) // 2 + 1, np.int32)
    last = _provisional(np.array(mask, order="C"), connectivity == 8, labels, parent)
    out = np.empty(mask.shape, np.int32)
    return out, _number(labels, parent, last, out)


@compiled
def _provisional(mask: Array, corners: bool, labels: Array, parent: Array) -> int:
    """Label each pixel as a neighbour before it, or anew; return the last new label.

    The smallest label of a piece is its root, and was given to its first pixel.
    """
    last = 0
    for y in range(mask.shape[0]):
        above = labels[y]
        here = labels[y + 1]
        for x in range(mask.shape[1]):
            if not mask[y, x]:
                continue
            found = above[x + 1]
            if not corners:
                found = _join(parent, here[x], found)
            elif not found:
                # the left one touches the one above it, and both touch what is above
                found = _join(parent, here[x] or above[x], above[x + 2])
            if not found:
                last += 1
                parent[last] = last
                found = last
            here[x + 1] = found
    return last


@compiled
def _join(parent: Array, one: int, other: int) -> int:
    """Make two labels one; return their root. 0 is none."""
    if one == 0 or other == 0:
        return max(one, other)
    while parent[one] != one:
        one = parent[one]
    while parent[other] != other:
        other = parent[other]
    root = min(one, other)
    parent[max(one, other)] = root
    return root


@compiled
def _number(labels: Array, parent: Array, last: int, out: Array) -> int:
    """Give each pixel the final number of its label; return how many there are."""
    count = 0
    for label in range(1, last + 1):
        # a parent is smaller than its child: it has its number already
        if parent[label] == label:
            count += 1
            parent[label] = count
        else:
            parent[label] = parent[parent[label]]
    for y in range(out.shape[0]):
        for x in range(out.shape[1]):
            out[y, x] = parent[labels[y + 1, x + 1]]
    return count
