"""Resampling as two matrix products, in float64."""

import numpy as np

from kernels.backend import Array

# The slope of the cubic kernel (Keys 1981) at one pixel, as OpenCV has it.
KEYS = -0.75


def resample(frame: Array, shape: tuple[int, int], method: str) -> Array:
    """Return `weights(rows) @ frame @ weights(columns).T` in the dtype of `frame`."""
    rows = weights(frame.shape[0], shape[0], method)
    columns = weights(frame.shape[1], shape[1], method)
    values = rows @ frame.astype(np.float64) @ columns.T
    if frame.dtype.kind == "f":
        return values.astype(frame.dtype)
    limits = np.iinfo(frame.dtype)  # a cubic overshoots
    return np.clip(np.floor(values + 0.5), limits.min, limits.max).astype(frame.dtype)


def weights(before: int, after: int, method: str = "auto") -> Array:
    """Return the (after, before) matrix that resamples one axis; its rows sum to 1."""
    if method == "auto":
        method = "area" if before / after >= 2 else "linear"
    row = {"area": _area, "linear": _linear, "cubic": _cubic}[method]
    matrix = np.zeros((after, before))
    for i in range(after):
        row(matrix[i], i, before / after)
        matrix[i] /= matrix[i].sum()
    return matrix


def _area(row: Array, i: int, scale: float) -> None:
    """Weigh each pixel by how much of it new pixel `i` covers."""
    pixels = np.arange(row.size)
    row[:] = np.maximum(np.minimum(pixels + 1, (i + 1) * scale) - np.maximum(pixels, i * scale), 0)


def _linear(row: Array, i: int, scale: float) -> None:
    """Weigh the two pixels whose centres are nearest."""
    centre = min(max((i + 0.5) * scale - 0.5, 0), row.size - 1)
    first = int(centre)
    row[first] = 1 - (centre - first)
    row[min(first + 1, row.size - 1)] += centre - first


def _cubic(row: Array, i: int, scale: float) -> None:
    """Weigh the four pixels whose centres are nearest."""
    centre = (i + 0.5) * scale - 0.5
    first = int(np.floor(centre)) - 1
    for pixel in range(first, first + 4):
        x = abs(centre - pixel)
        if x <= 1:
            weight = (KEYS + 2) * x**3 - (KEYS + 3) * x**2 + 1
        else:
            weight = KEYS * (x**3 - 5 * x**2 + 8 * x - 4)
        row[min(max(pixel, 0), row.size - 1)] += weight
