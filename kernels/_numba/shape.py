"""The sums over a region that its shape is computed from, on the CPU."""

import numpy as np

from kernels._numba.jit import compiled
from kernels.backend import Array


def shape(mask: Array) -> Array:
    """Return the count; the sums of y, x, y², x², xy; straight, diagonal, turning: int64 (9,)."""
    rows, columns = mask.shape
    # an empty border spares the passes all questions about edges
    padded = np.zeros((rows + 2, columns + 2), np.uint8)
    padded[1:-1, 1:-1] = mask
    border = np.zeros_like(padded)
    out = np.zeros(9, np.int64)
    _moments(padded, border, out)
    _outline(border, out)
    return out


@compiled
def _moments(padded: Array, border: Array, out: Array) -> None:
    """Sum up the region, and mark its pixels with one of 4 neighbours outside."""
    for row in range(1, padded.shape[0] - 1):
        count = along = square = 0
        for column in range(1, padded.shape[1] - 1):
            if padded[row, column]:
                x = column - 1
                count += 1
                along += x
                square += x * x
                within = (
                    padded[row - 1, column]
                    and padded[row + 1, column]
                    and padded[row, column - 1]
                    and padded[row, column + 1]
                )
                border[row, column] = 0 if within else 1
        y = row - 1
        out[0] += count
        out[1] += y * count
        out[2] += along
        out[3] += y * y * count
        out[4] += square
        out[5] += y * along


@compiled
def _outline(border: Array, out: Array) -> None:
    """Count the border's pixels by how the outline goes through them."""
    for y in range(1, border.shape[0] - 1):
        for x in range(1, border.shape[1] - 1):
            if border[y, x]:
                beside = border[y - 1, x] + border[y + 1, x] + border[y, x - 1] + border[y, x + 1]
                corner = border[y - 1, x - 1] + border[y - 1, x + 1]
                corner += border[y + 1, x - 1] + border[y + 1, x + 1]
                code = 1 + 2 * beside + 10 * corner
                if code in (5, 7, 15, 17, 25, 27):
                    out[6] += 1
                elif code in (21, 33):
                    out[7] += 1
                elif code in (13, 23):
                    out[8] += 1
