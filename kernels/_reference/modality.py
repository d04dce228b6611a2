"""PS3.3 C.11.1.1.2, in float64, rounded once to float32."""

import numpy as np

from kernels.backend import Array


def modality(frame: Array, slope: float, intercept: float) -> Array:
    """Return slope * frame + intercept."""
    with np.errstate(over="ignore"):  # beyond float32 is infinity, as in the other bodies
        return (frame.astype(np.float64) * slope + intercept).astype(np.float32)
