"""Holes are the pieces of the background that do not reach a frame drawn around it."""

import numpy as np

from kernels._reference.components import components
from kernels.backend import Array


def fill_holes(mask: Array) -> Array:
    """Return uint8, 1 where the mask or one of its holes is."""
    background = np.pad(mask == 0, 1, constant_values=True)
    labels, _ = components(background, 4)
    return np.asarray(labels[1:-1, 1:-1] != labels[0, 0], np.uint8)
