"""The sums over a region that its shape is computed from."""

import numpy as np

from kernels.backend import Array

# What a border pixel counts by: itself 1, a border pixel beside it 2, at its corner 10.
_WEIGHTS = ((10, 2, 10), (2, 1, 2), (10, 2, 10))
# The sums at which the outline goes straight on, diagonally, or does one of each.
STRAIGHT, DIAGONAL, TURN = (5, 7, 15, 17, 25, 27), (21, 33), (13, 23)


def shape(mask: Array) -> Array:
    """Return the count; the sums of y, x, y², x², xy; straight, diagonal, turning: int64 (9,)."""
    y, x = np.nonzero(mask)
    codes = _codes(mask > 0)
    steps = [np.isin(codes, kind).sum() for kind in (STRAIGHT, DIAGONAL, TURN)]
    moments = [y.sum(), x.sum(), (y * y).sum(), (x * x).sum(), (x * y).sum()]
    return np.array([len(y), *moments, *steps], np.int64)


def _codes(inside: Array) -> Array:
    """Return what each pixel sees of the border: the pixels with one of 4 neighbours outside."""
    rows, columns = inside.shape
    padded = np.pad(inside, 1)
    kept = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    border = np.pad((inside & ~kept).astype(np.int64), 1)
    return np.asarray(
        sum(
            weight * border[y : y + rows, x : x + columns]
            for y, line in enumerate(_WEIGHTS)
            for x, weight in enumerate(line)
        )
    )
