"""Resampling on the CPU: first the rows, then the columns, by short lists of weights."""

from functools import lru_cache

import numpy as np

from kernels._numba.jit import compiled, native
from kernels.backend import Array


def resample(frame: Array, shape: tuple[int, int]) -> Array:
    """Return the frame on a grid of `shape`, in its own dtype."""
    values = native(frame)
    out = np.empty(shape, values.dtype)
    half = 0.5 if frame.dtype.kind in "ui" else 0.0
    rows = _taps(frame.shape[0], shape[0])
    columns = _taps(frame.shape[1], shape[1])
    _separable(values, *rows, *columns, half, out)
    return out.astype(frame.dtype, copy=False)


@lru_cache(maxsize=64)
def _taps(before: int, after: int) -> tuple[Array, Array]:
    """Return the first pixel, (after,), and the weights, (after, taps), of each new pixel."""
    scale = before / after
    number = np.arange(after)
    if scale >= 2:
        pixels = np.floor(number * scale).astype(np.int64)[:, None] + np.arange(int(scale) + 2)
        stop = ((number + 1) * scale)[:, None]
        cover = np.minimum(pixels + 1, stop) - np.maximum(pixels, (number * scale)[:, None])
    else:
        centre = np.clip((number + 0.5) * scale - 0.5, 0, before - 1)
        pixels = np.floor(centre).astype(np.int64)[:, None] + np.arange(2)
        cover = 1 - np.abs(centre[:, None] - pixels)
    # A list that would reach over the edge starts earlier; its outer weights are zero.
    first = np.minimum(pixels[:, 0], max(before - pixels.shape[1], 0))
    weights = np.zeros((after, min(pixels.shape[1], before)))
    for tap in range(pixels.shape[1]):
        inside = (pixels[:, tap] < before) & (cover[:, tap] > 0)
        at = (pixels[:, tap] - first)[inside]
        weights[np.flatnonzero(inside), at] += cover[inside, tap]
    used = int(np.flatnonzero(weights.any(axis=0))[-1]) + 1
    weights = weights[:, :used] / weights.sum(axis=1, keepdims=True)
    return first, np.ascontiguousarray(weights)


@compiled
def _separable(
    values: Array,
    row_first: Array,
    row_weights: Array,
    column_first: Array,
    column_weights: Array,
    half: float,
    out: Array,
) -> None:
    line = np.empty(values.shape[1], np.float64)
    for y in range(out.shape[0]):
        line[:] = 0
        for tap in range(row_weights.shape[1]):
            weight = row_weights[y, tap]
            source = values[row_first[y] + tap]
            for x in range(line.size):
                line[x] += weight * source[x]
        for x in range(out.shape[1]):
            total = 0.0
            for tap in range(column_weights.shape[1]):
                total += column_weights[x, tap] * line[column_first[x] + tap]
            # a cast to an integer truncates, and a negative value must round down
            out[y, x] = np.floor(total + half) if half else total
