"""First-order statistics, in float64."""

import numpy as np

from kernels.backend import Array

PERCENTILES = (10, 25, 50, 75, 90)


def first_order(frame: Array, mask: Array | None, bins: int) -> Array:
    """Return the count, then the statistics in the order of `kernels.first_order.NAMES`."""
    values = inside(frame, mask)
    if not values.size:
        return np.zeros(13)
    low, high = values.min(), values.max()
    scaled = steps(values)
    offsets = scaled - scaled.mean()
    second, third, fourth = ((offsets**power).mean() for power in (2, 3, 4))
    counts = np.bincount(levels_of(scaled, bins), minlength=bins)
    shares = counts[counts > 0] / values.size
    flat = low == high
    return np.array(
        [
            values.size,
            low + (high - low) * scaled.mean(),
            (high - low) * np.sqrt(second),
            low,
            high,
            *np.percentile(values, PERCENTILES),
            0.0 if flat else third / second**1.5,
            0.0 if flat else fourth / second**2 - 3,
            abs(shares @ np.log2(shares)),
        ]
    )


def inside(frame: Array, mask: Array | None) -> Array:
    """Return the region's values, float64 (count,), in raster order."""
    values = frame if mask is None else frame[mask > 0]
    return values.astype(np.float64).reshape(-1)


def steps(values: Array) -> Array:
    """Return the values from 0 at their minimum to 1 at their maximum; all 0 where they agree."""
    low, high = values.min(), values.max()
    return np.zeros_like(values) if low == high else (values - low) / (high - low)


def levels_of(scaled: Array, count: int) -> Array:
    """Cut [0, 1] into `count` equal levels from 0; the maximum belongs to the last."""
    return np.minimum((scaled * count).astype(np.int64), count - 1)
