"""Resampling as two matrix products, in float64."""

import numpy as np

from kernels.backend import Array


def resample(frame: Array, shape: tuple[int, int]) -> Array:
    """Return `weights(rows) @ frame @ weights(columns).T` in the dtype of `frame`."""
    rows = weights(frame.shape[0], shape[0])
    columns = weights(frame.shape[1], shape[1])
    values = rows @ frame.astype(np.float64) @ columns.T
    if frame.dtype.kind == "f":
        return values.astype(frame.dtype)
    return np.floor(values + 0.5).astype(frame.dtype)


def weights(before: int, after: int) -> Array:
    """Return the (after, before) matrix that resamples one axis; its rows sum to 1."""
    matrix = np.zeros((after, before))
    scale = before / after
    for i in range(after):
        if scale >= 2:
            start, stop = i * scale, (i + 1) * scale
            pixels = np.arange(before)
            cover = np.minimum(pixels + 1, stop) - np.maximum(pixels, start)
            matrix[i] = np.maximum(cover, 0) / scale
        else:
            centre = min(max((i + 0.5) * scale - 0.5, 0), before - 1)
            first = int(centre)
            matrix[i, first] = 1 - (centre - first)
            matrix[i, min(first + 1, before - 1)] += centre - first
        matrix[i] /= matrix[i].sum()
    return matrix
