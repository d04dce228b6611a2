"""First-order statistics on a GPU. One frame a call."""

import numpy as np

from kernels._cupy.device import empty, launch, zeros
from kernels._cupy.region import Region, partial_sums, region
from kernels.backend import Array

_RANKS, _DIGITS = 10, 256  # as in the kernels


def first_order(frame: Array, mask: Array | None, bins: int) -> Array:
    """Return the count, then the statistics in the order of `kernels.first_order.NAMES`."""
    where = region(frame, mask)
    number = where[0].dtype
    found = extent(where)
    keys = _percentiles(where, found)
    blocks = partial_sums(frame.size)
    counts, sums = zeros((bins,), np.uint32), empty((blocks,), np.float64)
    arguments = (*where, found, counts, np.int32(bins), sums)
    launch("first_order.mean", (blocks,), arguments, VALUE=number)
    powers, out = empty((3, blocks), np.float64), zeros((13,), np.float64)
    launch("first_order.moments", (blocks,), (*where, found, sums, powers), VALUE=number)
    results = (found, keys, counts, np.int32(bins), sums, powers, np.int32(blocks), out)
    launch("first_order.finish", (1,), results, VALUE=number)
    return out


def extent(where: Region) -> Array:
    """Return what `Extent` in the prelude reads: the region's count, least and greatest value."""
    found = zeros((3,), np.uint64)
    grid = (partial_sums(where[0].size),)
    launch("first_order.extent", grid, (*where, found), VALUE=where[0].dtype)
    return found


def _percentiles(where: Region, found: Array) -> Array:
    """Return the keys of the values at the two ranks around each percentile."""
    values = where[0]
    keys, ranks = empty((_RANKS,), np.uint64), empty((_RANKS,), np.uint64)
    launch("first_order.rank", (1,), (found, keys, ranks), threads=1, VALUE=values.dtype)
    counts = zeros((values.dtype.itemsize, _RANKS, _DIGITS), np.uint32)
    grid = (partial_sums(values.size),)
    for number in range(values.dtype.itemsize):
        arguments = (*where, keys, np.int32(number), counts[number])
        launch("first_order.count", grid, arguments, VALUE=values.dtype)
        launch("first_order.choose", (1,), (counts[number], keys, ranks), VALUE=values.dtype)
    return keys
