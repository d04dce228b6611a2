"""Homomorphic flattening with a box applied three times, in float64."""

import numpy as np

from kernels.backend import Array

PASSES = 3
# How much of a full box stands for "no deviation": far from tissue the field fades to 1.
PRIOR = 1e-6


def flatten_bias(frame: Array, radius: int, background: float) -> Array:
    """Return the frame divided by its field, float32."""
    values = frame.astype(np.float64)
    tissue = values > background * values.mean()
    if not tissue.any():
        return values.astype(np.float32)
    logs = np.log(np.where(tissue, values, 1.0))
    deviation = np.where(tissue, logs - logs.sum() / tissue.sum(), 0.0)
    weight = tissue.astype(np.float64)
    for _ in range(PASSES):
        deviation, weight = _box_sum(deviation, radius), _box_sum(weight, radius)
    field = deviation / (weight + PRIOR * float(2 * radius + 1) ** (2 * PASSES))
    flat: Array = (values * np.exp(-field)).astype(np.float32)
    return flat


def _box_sum(values: Array, radius: int) -> Array:
    """Return the sum of the (2 * radius + 1)-square around each pixel; outside is zero."""
    rows, columns = values.shape
    y, x = np.arange(rows), np.arange(columns)
    down = (abs(y[:, None] - y) <= radius).astype(np.float64)
    along = (abs(x[:, None] - x) <= radius).astype(np.float64)
    total: Array = down @ values @ along
    return total
