"""Resampling on the CPU: first the rows, then the columns, by short lists of weights."""

import math
from functools import lru_cache

import numpy as np

from kernels._numba.jit import compiled, native
from kernels._reference.resample import KEYS
from kernels.backend import Array


def resample(frame: Array, shape: tuple[int, int], method: str) -> Array:
    """Return the frame on a grid of `shape`, in its own dtype."""
    values = native(frame)
    out = np.empty(shape, values.dtype)
    if values.dtype.kind in "ui" and method in ("auto", "area") and _halves(frame.shape, shape):
        _block_means(values, frame.shape[0] // shape[0], frame.shape[1] // shape[1], out)
        return out.astype(frame.dtype, copy=False)
    low = high = half = 0.0
    if frame.dtype.kind in "ui":
        limits = np.iinfo(frame.dtype)
        low, high, half = float(limits.min), float(limits.max), 0.5
    rows = taps(frame.shape[0], shape[0], method)
    columns = taps(frame.shape[1], shape[1], method)
    _separable(values, *rows, *columns, low, high, half, out)
    return out.astype(frame.dtype, copy=False)


def _halves(before: tuple[int, ...], after: tuple[int, int]) -> bool:
    """True where each axis is halved some times: means of whole blocks, exact in any order."""
    rows, columns = before[0] // after[0], before[1] // after[1]
    whole = (rows * after[0], columns * after[1]) == tuple(before)
    return whole and rows & (rows - 1) == 0 == columns & (columns - 1) and rows * columns <= 2**14


@lru_cache(maxsize=64)
def taps(before: int, after: int, method: str) -> tuple[Array, Array]:
    """Return the first pixel, (after,), and the weights, (after, taps), of each new pixel."""
    scale = before / after
    if method == "auto":
        method = "area" if scale >= 2 else "linear"
    pixels, cover = {"area": _area, "linear": _linear, "cubic": _cubic}[method](before, after)
    used = int(np.flatnonzero(cover.any(axis=0))[-1]) + 1
    pixels, cover = pixels[:, :used], cover[:, :used]
    # A list that would reach over the edge lies inside; what reached over is at the edge.
    first = np.clip(pixels[:, 0], 0, max(before - pixels.shape[1], 0))
    weights = np.zeros((after, min(pixels.shape[1], before)))
    number = np.arange(after)
    for tap in range(pixels.shape[1]):
        at = np.clip(pixels[:, tap], 0, before - 1) - first
        weights[number, at] += cover[:, tap]
    weights /= weights.sum(axis=1, keepdims=True)
    # unsigned: for a signed index the compiled loop asks each time whether it counts from the end
    return first.astype(np.uint32), weights


def _area(before: int, after: int) -> tuple[Array, Array]:
    """Return the pixels that a new pixel covers, (after, taps), and how much of each."""
    scale = before / after
    start = (np.arange(after) * scale)[:, None]
    stop = ((np.arange(after) + 1) * scale)[:, None]
    pixels = np.floor(start).astype(np.int64) + np.arange(int(scale) + 2)
    cover = np.minimum(pixels + 1, stop) - np.maximum(pixels, start)
    return pixels, np.where(pixels < before, np.maximum(cover, 0), 0)


def _linear(before: int, after: int) -> tuple[Array, Array]:
    """Return the two pixels around a new centre, (after, 2), and their weights."""
    centre = np.clip((np.arange(after) + 0.5) * (before / after) - 0.5, 0, before - 1)[:, None]
    pixels = np.floor(centre).astype(np.int64) + np.arange(2)
    return pixels, 1 - np.abs(centre - pixels)


def _cubic(before: int, after: int) -> tuple[Array, Array]:
    """Return the four pixels around a new centre, (after, 4), and their weights."""
    centre = ((np.arange(after) + 0.5) * (before / after) - 0.5)[:, None]
    pixels = np.floor(centre).astype(np.int64) + np.arange(-1, 3)
    x = np.abs(centre - pixels)
    inner = (KEYS + 2) * x**3 - (KEYS + 3) * x**2 + 1
    return pixels, np.where(x <= 1, inner, KEYS * (x**3 - 5 * x**2 + 8 * x - 4))


@compiled
def _block_means(values: Array, height: int, width: int, out: Array) -> None:
    """Write the mean of each block, rounded half up; the sides are powers of two."""
    line = np.empty(values.shape[1], np.int32)
    count = height * width
    shift = round(math.log2(count))
    for y in range(out.shape[0]):
        line[:] = 0
        for k in range(height):
            source = values[y * height + k]
            for x in range(line.size):
                line[x] += source[x]
        _add_neighbours(line, width, count >> 1, shift, out[y])


@compiled
def _add_neighbours(line: Array, width: int, half: int, shift: int, out: Array) -> None:
    more, by = np.int32(half), np.int32(shift)
    if width == 2:
        for x in range(out.size):
            out[x] = (line[2 * x] + line[2 * x + 1] + more) >> by
        return
    for x in range(out.size):
        total = more
        for k in range(width):
            total += line[x * width + k]
        out[x] = total >> by


@compiled
def _separable(
    values: Array,
    row_first: Array,
    row_weights: Array,
    column_first: Array,
    column_weights: Array,
    low: float,
    high: float,
    half: float,
    out: Array,
) -> None:
    line = np.empty(values.shape[1], np.float64)
    sums = np.empty(out.shape[1], np.float64)
    for y in range(out.shape[0]):
        line[:] = 0
        for tap in range(row_weights.shape[1]):
            weight = row_weights[y, tap]
            source = values[row_first[y] + tap]
            for x in range(line.size):
                line[x] += weight * source[x]
        along(line, column_first, column_weights, sums)
        for x in range(out.shape[1]):
            # a cast to an integer truncates, and a negative value must round down
            out[y, x] = min(max(np.floor(sums[x] + half), low), high) if half else sums[x]


@compiled
def along(line: Array, first: Array, weights: Array, sums: Array) -> None:
    """Write the weighted sum of each new pixel of a row. Two taps, the usual case, are unrolled."""
    if weights.shape[1] == 2:
        _two_along(line, first, weights, sums)
    else:
        _many_along(line, first, weights, sums)


@compiled
def _two_along(line: Array, first: Array, weights: Array, sums: Array) -> None:
    for x in range(sums.size):
        at = first[x]
        sums[x] = weights[x, 0] * line[at] + weights[x, 1] * line[at + np.uint32(1)]


@compiled
def _many_along(line: Array, first: Array, weights: Array, sums: Array) -> None:
    for x in range(sums.size):
        total = 0.0
        for tap in range(weights.shape[1]):
            total += weights[x, tap] * line[first[x] + np.uint32(tap)]
        sums[x] = total
