"""CLAHE on the CPU, block by block, so that what is in use stays in the first-level cache.

A block lies between the middles of four tiles. What two tiles that are side by side say of a level
is kept in one word, so that a pixel takes two look-ups, not four. The words of two rows of tiles
are alive at a time. A table ends at the highest level of the frame: what lies beyond counts for
nothing below, so that 12 bits on 65,536 bins cost what they cost on 4,096.
"""

from functools import lru_cache

import numpy as np

from kernels._numba.jit import compiled, native
from kernels.backend import Array


def clahe(frame: Array, clip_limit: float, tiles: tuple[int, int], bins: int) -> Array:
    """Return the equalised frame, uint16."""
    values = native(frame)
    rows, columns = _padded(values.shape, tiles)
    height, width = rows // tiles[0], columns // tiles[1]
    limit = max(int(clip_limit * height * width / bins), 1) if clip_limit > 0 else height * width
    words = np.empty((2, tiles[1] + 1, int(values.max()) + 1), np.uint32)
    row_plan = _cells(values.shape[0], height, tiles[0])
    column_plan = _cells(values.shape[1], width, tiles[1])
    out = np.empty(values.shape, np.uint16)
    _equalise(values, height, width, limit, bins, row_plan, column_plan, words, out)
    return out


def _padded(shape: tuple[int, ...], tiles: tuple[int, int]) -> tuple[int, int]:
    """Return the extended shape. As in OpenCV, once one axis needs it both are extended."""
    if shape[0] % tiles[0] == 0 and shape[1] % tiles[1] == 0:
        return shape[0], shape[1]
    return shape[0] + tiles[0] - shape[0] % tiles[0], shape[1] + tiles[1] - shape[1] % tiles[1]


@lru_cache(maxsize=64)
def _cells(length: int, tile: int, tiles: int) -> tuple[Array, Array]:
    """Cut an axis at the middles of its tiles, where the two nearest tiles change.

    Returns where the cells 0 .. tiles begin and the last one ends, (tiles + 2,): cell i lies
    between tiles i - 1 and i. And for each pixel the weight of the second of them, (length,).
    """
    position = np.arange(length, dtype=np.float32) * (np.float32(1) / np.float32(tile))
    position -= np.float32(0.5)
    first = np.floor(position)
    begins = np.searchsorted(first, np.arange(-1, tiles + 1)).astype(np.int64)
    begins[-1] = length
    return begins, position - first


@compiled
def _equalise(
    values: Array,
    height: int,
    width: int,
    limit: int,
    bins: int,
    row_plan: tuple[Array, Array],
    column_plan: tuple[Array, Array],
    words: Array,
    out: Array,
) -> None:
    rows, down = row_plan
    columns, along = column_plan
    last = rows.size - 2
    counts = np.empty((2, words.shape[2]), np.int32)
    table = np.empty((columns.size - 2, words.shape[2]), np.uint16)
    found = np.empty((2, values.shape[1]), np.uint32)
    for j in range(last + 1):
        if j < last:
            for i in range(table.shape[0]):
                _count(values, j * height, i * width, height, width, counts)
                clipped = _cut(counts, limit)
                _tabulate(counts[0], clipped, bins, height * width, table[i])
            _join(table, words[j % 2])
        upper, lower = words[max(j - 1, 0) % 2], words[min(j, last - 1) % 2]
        for i in range(columns.size - 1):
            begin, end = columns[i], columns[i + 1]
            for y in range(rows[j], rows[j + 1]):
                _look_up(values[y][begin:end], upper[i], lower[i], found)
                _blend(found, down[y], along[begin:end], out[y][begin:end])


@compiled
def _reflect(i: int, length: int) -> int:
    """Return the index that reflect-101 padding shows at `i` >= 0."""
    if i < length or length == 1:
        return min(i, length - 1)
    i %= 2 * (length - 1)
    return i if i < length else 2 * (length - 1) - i


@compiled
def _count(values: Array, top: int, left: int, height: int, width: int, counts: Array) -> None:
    """Count the levels of a tile.

    Neighbours are often equal, and adding to the same count twice in a row has to wait: every
    second pixel is counted apart.
    """
    rows, columns = values.shape
    even, odd = counts[0], counts[1]
    counts[:] = 0
    for y in range(top, top + height):
        row = values[_reflect(y, rows)]
        inside = row[left : min(left + width, columns)]
        for x in range(0, inside.size - 1, 2):
            even[inside[x]] += 1
            odd[inside[x + 1]] += 1
        if inside.size % 2:
            even[inside[inside.size - 1]] += 1
        for x in range(max(left, columns), left + width):
            even[row[_reflect(x, columns)]] += 1


@compiled
def _cut(counts: Array, limit: int) -> int:
    """Put both counts together, up to `limit` each; return how many pixels are above it."""
    even, odd = counts[0], counts[1]
    most, over = np.int32(limit), np.int32(0)
    for level in range(even.size):
        count = even[level] + odd[level]
        kept = min(count, most)
        over += count - kept
        even[level] = kept
    return int(over)


@compiled
def _tabulate(counts: Array, clipped: int, bins: int, area: int, table: Array) -> None:
    """Hand out again what was clipped, and sum up: the table of a tile."""
    batch, residual = np.int32(clipped // bins), clipped % bins
    step = max(bins // max(residual, 1), 1)
    for level in range(0, min(residual * step, counts.size), step):
        counts[level] += 1
    total = np.int32(0)
    for level in range(counts.size):
        total += counts[level] + batch
        counts[level] = total
    scale = np.float32(bins - 1) / np.float32(area)
    for level in range(counts.size):
        table[level] = np.uint16(np.int32(np.rint(np.float32(counts[level]) * scale)))


@compiled
def _join(table: Array, words: Array) -> None:
    """Put the tables of tiles i - 1 (low half) and i (high half) into words i, ends repeated."""
    for i in range(words.shape[0]):
        left, right = table[max(i - 1, 0)], table[min(i, table.shape[0] - 1)]
        word = words[i]
        for level in range(word.size):
            word[level] = np.uint32(left[level]) | (np.uint32(right[level]) << np.uint32(16))


@compiled
def _look_up(levels: Array, upper: Array, lower: Array, found: Array) -> None:
    # Apart from `_blend`: what is looked up cannot be vectorised, the arithmetic then is.
    above, below = found[0], found[1]
    for x in range(levels.size):
        above[x] = upper[levels[x]]
        below[x] = lower[levels[x]]


@compiled
def _blend(found: Array, down: float, along: Array, out: Array) -> None:
    """Interpolate a line of a block between its four tiles, in float32 as OpenCV does."""
    one, low, half = np.float32(1), np.uint32(0xFFFF), np.uint32(16)
    above, below = found[0], found[1]
    for x in range(out.size):
        right = along[x]
        left = one - right
        # through int32: there is no vector instruction from uint32 to float
        upper = np.float32(np.int32(above[x] & low)) * left
        upper += np.float32(np.int32(above[x] >> half)) * right
        lower = np.float32(np.int32(below[x] & low)) * left
        lower += np.float32(np.int32(below[x] >> half)) * right
        out[x] = np.uint16(np.int32(np.rint(upper * (one - down) + lower * down)))
