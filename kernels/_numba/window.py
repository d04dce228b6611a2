"""The VOI LUT functions on the CPU."""

import math

import numpy as np

from kernels._numba.jit import compiled, native
from kernels.backend import Array

RAMP, STEP, SIGMOID = 0, 1, 2
_STEEPEST = 1e300  # finite, so that nothing becomes infinity times zero


def window(frame: Array, center: float, width: float, function: str, bins: int) -> Array:
    """Return the windowed frame: float32 in [0, 1], or for `bins` above 0 that many levels."""
    values = native(frame).reshape(-1)
    curve = curve_of(center, width, function)
    if bins:
        levels = np.empty(frame.shape, np.uint16)
        _levels(values, *curve, bins - 1, levels.reshape(-1))
        return levels
    out = np.empty(frame.shape, np.float32)
    grey(values, *curve, out.reshape(-1))
    return out


def curve_of(center: float, width: float, function: str) -> tuple[int, float, float]:
    """Return the kind of curve, its middle and its slope."""
    if function == "SIGMOID":
        return SIGMOID, center, min(4 / width, _STEEPEST)
    if function == "LINEAR_EXACT":
        return RAMP, center, min(1 / width, _STEEPEST)
    if width == 1:
        return STEP, center - 0.5, 0.0
    return RAMP, center - 0.5, min(1 / (width - 1), _STEEPEST)


@compiled
def grey(values: Array, kind: int, middle: float, slope: float, out: Array) -> None:
    """Write y in [0, 1] for each value. One loop a curve: a branch inside would be scalar."""
    if kind == RAMP:
        for i in range(values.size):
            level = (np.float64(values[i]) - middle) * slope + 0.5
            out[i] = np.float32(min(max(level, 0.0), 1.0))
    elif kind == STEP:
        for i in range(values.size):
            out[i] = np.float32(values[i] > middle)
    else:
        for i in range(values.size):
            out[i] = np.float32(_sigmoid(values[i], middle, slope))


@compiled
def _levels(values: Array, kind: int, middle: float, slope: float, top: float, out: Array) -> None:
    if kind == RAMP:
        for i in range(values.size):
            level = (np.float64(values[i]) - middle) * slope + 0.5
            out[i] = np.uint16(np.int32(min(max(level, 0.0), 1.0) * top + 0.5))
    elif kind == STEP:
        for i in range(values.size):
            out[i] = np.uint16(np.int32(values[i] > middle) * np.int32(top))
    else:
        for i in range(values.size):
            out[i] = np.uint16(np.int32(_sigmoid(values[i], middle, slope) * top + 0.5))


@compiled
def _sigmoid(value: float, middle: float, slope: float) -> float:
    # exp of at most 700 is finite; 1e-304 is zero on any grey scale
    return 1 / (1 + math.exp(min(-slope * (np.float64(value) - middle), 700.0)))
