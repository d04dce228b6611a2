"""The 3 x 3 median on the CPU, without a branch per pixel.

Each column of three is sorted once per row (Smith 1996): the median of nine is the median of the
largest of the lows, the median of the middles and the smallest of the highs.
"""

import numpy as np

from kernels._numba.jit import compiled, native
from kernels.backend import Array


def median3(frame: Array) -> Array:
    """Return the filtered frame, in its own dtype."""
    values = native(frame)
    out = np.empty_like(values)
    _median(values, out)
    return out.astype(frame.dtype, copy=False)


@compiled
def _median(values: Array, out: Array) -> None:
    rows, columns = values.shape
    # one more column on each side holds the replicated edge
    sorted3 = np.empty((3, columns + 2), values.dtype)
    low, middle, high = sorted3[0], sorted3[1], sorted3[2]
    for y in range(rows):
        above = values[max(y - 1, 0)]
        here = values[y]
        below = values[min(y + 1, rows - 1)]
        for x in range(columns):
            a, b, c = above[x], here[x], below[x]
            least, most = min(a, b), max(a, b)
            low[x + 1] = min(least, c)
            high[x + 1] = max(most, c)
            middle[x + 1] = max(least, min(most, c))
        sorted3[:, 0] = sorted3[:, 1]
        sorted3[:, columns + 1] = sorted3[:, columns]
        for x in range(columns):
            lows = max(low[x], max(low[x + 1], low[x + 2]))
            highs = min(high[x], min(high[x + 1], high[x + 2]))
            p, q, r = middle[x], middle[x + 1], middle[x + 2]
            mid = max(min(p, q), min(max(p, q), r))
            out[y, x] = max(min(lows, mid), min(max(lows, mid), highs))
