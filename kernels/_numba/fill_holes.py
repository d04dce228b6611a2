"""Holes are the pieces of the background that do not reach a frame drawn around it."""

import numpy as np

from kernels._numba.components import components
from kernels.backend import Array


def fill_holes(mask: Array) -> Array:
    """Return uint8, 1 where the mask or one of its holes is."""
    rows, columns = mask.shape
    background = np.ones((rows + 2, columns + 2), np.uint8)
    background[1:-1, 1:-1] = mask == 0
    labels, _ = components(background, 4)
    # the frame's first pixel comes first in raster order: the outside is piece 1
    return np.asarray(labels[1:-1, 1:-1] != 1, np.uint8)
