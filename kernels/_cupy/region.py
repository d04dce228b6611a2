"""What the bodies that measure a region share."""

import numpy as np

from kernels._cupy.device import THREADS, blocks, native, zeros
from kernels.backend import Array

Region = tuple[Array, Array, np.int32, np.int32]


def region(frame: Array, mask: Array | None) -> Region:
    """Return what the kernels take: values, mask, whether it counts, and the number of pixels."""
    values = native(frame)
    whole = mask is None
    inside = zeros((1,), np.uint8) if mask is None else native(mask)
    return values, inside, np.int32(not whole), np.int32(values.size)


def partial_sums(size: int) -> int:
    """Return of how many blocks a sum is made: one block can add up what they give."""
    return min(blocks(size), THREADS)
