"""Connected components by spreading the smallest pixel number of each."""

import numpy as np

from kernels.backend import Array

_AROUND = {
    4: ((0, 1), (1, 0), (1, 1), (1, 2), (2, 1)),
    8: tuple((y, x) for y in range(3) for x in range(3)),
}


def components(mask: Array, connectivity: int) -> tuple[Array, int]:
    """Return int32 numbers in raster order of each piece's first pixel, and how many there are."""
    rows, columns = mask.shape
    outside = mask.size
    first = np.where(mask > 0, np.arange(mask.size).reshape(mask.shape), outside)
    while True:
        padded = np.pad(first, 1, constant_values=outside)
        around = [padded[y : y + rows, x : x + columns] for y, x in _AROUND[connectivity]]
        spread = np.where(mask > 0, np.min(around, axis=0), outside)
        if np.array_equal(spread, first):
            break
        first = spread
    # Each piece now carries the number of its first pixel: in order, these are the labels.
    order, labels = np.unique(np.append(first, outside), return_inverse=True)
    count = len(order) - 1
    labels = (labels[:-1].reshape(mask.shape) + 1) * (mask > 0)
    return labels.astype(np.int32), count
