"""The three operations one after the other."""

from kernels._reference.normalise import normalise
from kernels._reference.resample import resample
from kernels._reference.window import window
from kernels.backend import Array


def window_resample_normalise(
    frame: Array,
    center: float,
    width: float,
    function: str,
    shape: tuple[int, int],
    method: str,
    spread: float,
) -> Array:
    """Return the picture, uint8 of `shape`."""
    grey = window(frame, center, width, function, 0)
    if shape != frame.shape:
        grey = resample(grey, shape, method)
    return normalise(grey, spread)
