"""The pseudo-code of PS3.3 C.11.2.1.2.1 with y in [0, 1], in float64, rounded once."""

import numpy as np

from kernels.backend import Array


def window(frame: Array, center: float, width: float) -> Array:
    """Return the windowed frame."""
    x = frame.astype(np.float64)
    below = x <= center - 0.5 - (width - 1) / 2
    above = x > center - 0.5 + (width - 1) / 2
    span = max(width - 1, np.finfo(np.float64).tiny)  # at width 1 nothing lies between
    inside = np.clip((np.clip(x - (center - 0.5), -span, span)) / span + 0.5, 0, 1)
    return np.where(below, 0.0, np.where(above, 1.0, inside)).astype(np.float32)
