"""First-order statistics on the CPU: a partial sort, and two passes over the values."""

import math

import numpy as np

from kernels._numba.jit import compiled
from kernels.backend import Array

_PERCENTILES = (0.1, 0.25, 0.5, 0.75, 0.9)


def first_order(frame: Array, mask: Array | None, bins: int) -> Array:
    """Return the count, then the statistics in the order of `kernels.first_order.NAMES`."""
    values = inside(frame, mask)
    out = np.zeros(13)
    if values.size:
        out[5:10] = _percentiles(values)
        _statistics(values, np.zeros(bins, np.int64), out)
    return out


def inside(frame: Array, mask: Array | None) -> Array:
    """Return the region's values, float64 (count,), in raster order."""
    values = frame if mask is None else frame[mask > 0]
    return values.astype(np.float64).reshape(-1)


def _percentiles(values: Array) -> list[float]:
    """Interpolate between the two ranks around each percentile."""
    places = [share * (values.size - 1) for share in _PERCENTILES]
    ranks = {int(place) for place in places} | {math.ceil(place) for place in places}
    ordered = np.partition(values, sorted(ranks))
    found = []
    for place in places:
        low, high = ordered[int(place)], ordered[math.ceil(place)]
        found.append(float(low + (high - low) * (place - int(place))))
    return found


@compiled
def _statistics(values: Array, counts: Array, out: Array) -> None:
    """Fill in all but the percentiles; values are taken from 0 to 1, so that nothing overflows."""
    size, bins = values.size, counts.size
    low, high = values.min(), values.max()
    out[0], out[3], out[4] = size, low, high
    if low == high:
        out[1] = low
        return
    span = high - low
    mean = 0.0
    for value in values:
        scaled = (value - low) / span
        mean += scaled
        counts[min(int(scaled * bins), bins - 1)] += 1
    mean /= size
    second = third = fourth = 0.0
    for value in values:
        offset = (value - low) / span - mean
        square = offset * offset
        second += square
        third += square * offset
        fourth += square * square
    second /= size
    out[1], out[2] = low + span * mean, span * math.sqrt(second)
    out[10] = third / size / second**1.5
    out[11] = fourth / size / second**2 - 3
    for count in counts:
        if count:
            out[12] -= count / size * math.log2(count / size)
