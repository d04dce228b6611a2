"""Sobel's magnitude, in float64."""

import numpy as np

from kernels.backend import Array


def gradient(frame: Array, mask: Array | None) -> Array:
    """Return the count, then mean, standard deviation and maximum of the magnitude inside."""
    rows, columns = frame.shape
    padded = np.pad(frame.astype(np.float64), 1, mode="edge")
    down = padded[2:] - padded[:-2]
    along = padded[:, 2:] - padded[:, :-2]
    by_row = (down[:, :columns] + 2 * down[:, 1:-1] + down[:, 2:]) / 8
    by_column = (along[:rows] + 2 * along[1:-1] + along[2:]) / 8
    steep = np.hypot(by_row, by_column)
    steep = steep if mask is None else steep[mask > 0]
    if not steep.size:
        return np.zeros(4)
    return np.array([steep.size, steep.mean(), steep.std(), steep.max()])
