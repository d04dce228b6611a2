"""Connected components by spreading the smallest pixel number of each."""

import numpy as np

from kernels.backend import Array


def largest_component(mask: Array) -> Array:
    """Return the labels of the largest component, uint8."""
    rows, columns = mask.shape
    outside = mask.size
    number = np.where(mask > 0, np.arange(mask.size).reshape(mask.shape), outside)
    while True:
        padded = np.pad(number, 1, constant_values=outside)
        around = [padded[y : y + rows, x : x + columns] for y in range(3) for x in range(3)]
        spread = np.where(mask > 0, np.min(around, axis=0), outside)
        if np.array_equal(spread, number):
            break
        number = spread
    # Each component now carries the number of its first pixel; argmax takes the first of equals.
    sizes = np.bincount(number.reshape(-1), minlength=outside + 1)[:outside]
    return np.where(number == sizes.argmax(), mask, 0).astype(np.uint8)
