"""CLAHE with OpenCV's rules, tile by tile; arithmetic in float32 as there."""

import numpy as np

from kernels.backend import Array


def clahe(frame: Array, clip_limit: float, tiles: tuple[int, int], bins: int) -> Array:
    """Look every pixel up in its four nearest tiles and interpolate between the answers."""
    padded = _pad(frame, tiles)
    height, width = padded.shape[0] // tiles[0], padded.shape[1] // tiles[1]
    grid = padded.reshape(tiles[0], height, tiles[1], width).swapaxes(1, 2)
    luts = np.array([[_lut(tile, clip_limit, bins) for tile in row] for row in grid])
    top, bottom, ya = _neighbours(frame.shape[0], height, tiles[0])
    left, right, xa = _neighbours(frame.shape[1], width, tiles[1])
    ya = ya[:, None]
    one = np.float32(1)
    upper = luts[top[:, None], left, frame] * (one - xa) + luts[top[:, None], right, frame] * xa
    lower = (
        luts[bottom[:, None], left, frame] * (one - xa) + luts[bottom[:, None], right, frame] * xa
    )
    levels: Array = np.rint(upper * (one - ya) + lower * ya).astype(np.uint16)
    return levels


def _pad(frame: Array, tiles: tuple[int, int]) -> Array:
    """Extend to whole tiles. As in OpenCV, once one axis needs it both are extended."""
    rows, columns = frame.shape
    if rows % tiles[0] == 0 and columns % tiles[1] == 0:
        return frame
    below, right = tiles[0] - rows % tiles[0], tiles[1] - columns % tiles[1]
    return np.pad(frame, ((0, below), (0, right)), mode="reflect")


def _lut(tile: Array, clip_limit: float, bins: int) -> Array:
    """Return the grey level of each value: the scaled cumulative sum of the cut histogram."""
    counts = np.bincount(tile.reshape(-1), minlength=bins).astype(np.int64)
    if clip_limit > 0:
        limit = max(int(clip_limit * tile.size / bins), 1)
        clipped = int(np.maximum(counts - limit, 0).sum())
        batch, residual = divmod(clipped, bins)
        counts = np.minimum(counts, limit) + batch
        if residual:
            step = max(bins // residual, 1)
            counts[: residual * step : step] += 1
    scale = np.float32(bins - 1) / np.float32(tile.size)
    lut: Array = np.rint(counts.cumsum().astype(np.float32) * scale).astype(np.float32)
    return lut


def _neighbours(length: int, tile: int, tiles: int) -> tuple[Array, Array, Array]:
    """Return for each pixel of an axis the tiles on both sides, and the weight of the second."""
    position = np.arange(length, dtype=np.float32) * (np.float32(1) / np.float32(tile))
    position -= np.float32(0.5)
    first = np.floor(position).astype(np.int64)
    weight = position - first.astype(np.float32)
    return np.maximum(first, 0), np.minimum(first + 1, tiles - 1), weight
