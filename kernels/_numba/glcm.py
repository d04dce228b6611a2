"""The co-occurrence matrix on the CPU: every pixel meets its later neighbours."""

import numpy as np

from kernels._numba.jit import compiled
from kernels.backend import Array


def glcm(
    frame: Array, mask: Array | None, levels: int, distances: tuple[int, ...]
) -> tuple[Array, int]:
    """Return how often level i comes before level j, int64 (levels, levels); pixels inside."""
    region = np.ones(frame.shape, np.uint8) if mask is None else np.array(mask, order="C")
    level = np.empty(frame.shape, np.int32)
    inside = _quantise(frame.astype(np.float64, order="C"), region, levels, level)
    counts = np.zeros((levels, levels), np.int64)
    for distance in distances:
        _count(level, distance, counts)
    return counts, inside


@compiled
def _quantise(values: Array, region: Array, levels: int, level: Array) -> int:
    """Cut the region's values into levels, -1 outside; return how many there are."""
    rows, columns = values.shape
    low, high = np.inf, -np.inf
    for y in range(rows):
        for x in range(columns):
            if region[y, x]:
                low, high = min(low, values[y, x]), max(high, values[y, x])
    span = high - low if high > low else 1.0
    inside = 0
    for y in range(rows):
        for x in range(columns):
            level[y, x] = -1
            if region[y, x]:
                inside += 1
                level[y, x] = min(int((values[y, x] - low) / span * levels), levels - 1)
    return inside


@compiled
def _count(level: Array, distance: int, counts: Array) -> None:
    rows, columns = level.shape
    for y in range(rows):
        below = y + distance
        for x in range(columns):
            here = level[y, x]
            if here < 0:
                continue
            if x + distance < columns and level[y, x + distance] >= 0:
                counts[here, level[y, x + distance]] += 1
            if below < rows:
                for other in range(x - distance, x + distance + 1, distance):
                    if 0 <= other < columns and level[below, other] >= 0:
                        counts[here, level[below, other]] += 1
