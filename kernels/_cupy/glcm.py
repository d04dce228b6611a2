"""The co-occurrence matrix on a GPU. One frame a call."""

import numpy as np

from kernels._cupy.device import launch, zeros
from kernels._cupy.first_order import extent
from kernels._cupy.region import partial_sums, region
from kernels.backend import Array


def glcm(
    frame: Array, mask: Array | None, levels: int, distances: tuple[int, ...]
) -> tuple[Array, Array]:
    """Return how often level i comes before level j, (levels, levels); pixels inside, ()."""
    where = region(frame, mask)
    found = extent(where)
    counts = zeros((levels, levels), np.uint64)
    columns, grid = np.int32(frame.shape[1]), (partial_sums(frame.size),)
    # farther than the frame is wide and high there is no pair
    for distance in (one for one in distances if one < max(frame.shape)):
        arguments = (*where, columns, found, np.int32(levels), np.int32(distance), counts)
        launch("glcm.count", grid, arguments, VALUE=where[0].dtype)
    return counts.view(np.int64), found[0]
