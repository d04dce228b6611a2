"""The co-occurrence matrix, one direction at a time."""

import numpy as np

from kernels._reference.first_order import inside, levels_of, steps
from kernels.backend import Array

DIRECTIONS = ((0, 1), (1, 1), (1, 0), (1, -1))


def glcm(
    frame: Array, mask: Array | None, levels: int, distances: tuple[int, ...]
) -> tuple[Array, int]:
    """Return how often level i comes before level j, int64 (levels, levels); pixels inside."""
    values = inside(frame, mask)
    counts = np.zeros((levels, levels), np.int64)
    if not values.size:
        return counts, 0
    # -1 outside
    level = np.full(frame.shape, -1)
    level[np.ones(frame.shape, bool) if mask is None else mask > 0] = levels_of(
        steps(values), levels
    )
    for distance in distances:
        for down, along in DIRECTIONS:
            _count(level, down * distance, along * distance, counts)
    return counts, values.size


def _count(level: Array, down: int, along: int, counts: Array) -> None:
    """Add the pairs of a pixel and the one `down` rows and `along` columns from it."""
    rows, columns = level.shape
    if down >= rows or abs(along) >= columns:
        return
    left, right = max(0, -along), max(0, columns - max(0, along))
    here = level[: rows - down, left:right]
    there = level[down:, left + along : right + along]
    both = (here >= 0) & (there >= 0)
    np.add.at(counts, (here[both], there[both]), 1)
