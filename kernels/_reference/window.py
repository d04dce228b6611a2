"""The VOI LUT functions of PS3.3 C.11.2.1.2 and C.11.2.1.3, y in [0, 1], in float64."""

import numpy as np

from kernels.backend import Array


def window(frame: Array, center: float, width: float, function: str, bins: int) -> Array:
    """Return the windowed frame: float32 in [0, 1], or for `bins` above 0 that many levels."""
    y = _FUNCTIONS[function](frame.astype(np.float64), center, width)
    if bins:
        return np.floor(y * (bins - 1) + 0.5).astype(np.uint16)
    return y.astype(np.float32)


def _linear(x: Array, center: float, width: float) -> Array:
    below = x <= center - 0.5 - (width - 1) / 2
    above = x > center - 0.5 + (width - 1) / 2
    return _ramp(x - (center - 0.5), width - 1, below, above)


def _linear_exact(x: Array, center: float, width: float) -> Array:
    return _ramp(x - center, width, x <= center - width / 2, x > center + width / 2)


def _ramp(distance: Array, width: float, below: Array, above: Array) -> Array:
    span = max(width, np.finfo(np.float64).tiny)  # at LINEAR width 1 nothing lies between
    inside = np.clip(np.clip(distance, -span, span) / span + 0.5, 0, 1)
    return np.where(below, 0.0, np.where(above, 1.0, inside))


def _sigmoid(x: Array, center: float, width: float) -> Array:
    with np.errstate(over="ignore"):  # exp of a large number is infinity, and y is 0
        y: Array = 1 / (1 + np.exp(-4 * ((x - center) / width)))
    return y


_FUNCTIONS = {"LINEAR": _linear, "LINEAR_EXACT": _linear_exact, "SIGMOID": _sigmoid}
