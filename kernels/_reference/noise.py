"""Immerkaer's noise estimate, in float64."""

import math

import numpy as np

from kernels.backend import Array


def noise(frame: Array) -> Array:
    """Return the estimate, float64 ()."""
    if min(frame.shape) < 3:
        return np.zeros(())
    values = frame.astype(np.float64)
    down = values[:-2] - 2 * values[1:-1] + values[2:]
    both = down[:, :-2] - 2 * down[:, 1:-1] + down[:, 2:]
    return np.asarray(math.sqrt(math.pi / 2) / 6 * np.abs(both).mean())
