"""CLAHE on a GPU: the tables of all tiles, then the frame cell by cell."""

from typing import Any

import numpy as np

from kernels._cupy.device import batched, blocks, empty, launch, native, zeros
from kernels.backend import Array

_SHARED_BINS = 4096  # the levels that there is room for in shared memory, as in the kernels
_WARP = 32
_WIDE_THREADS = 1024


def clahe(frame: Array, clip_limit: float, tiles: tuple[int, int], bins: int) -> Array:
    """Return the equalised frame, uint16. Levels above bins - 1 count as bins - 1."""
    values = native(frame)
    frames, *shape = batched(values)
    height, width = (
        side // count for side, count in zip(_padded(shape, tiles), tiles, strict=True)
    )
    stride = -(-bins // 4) * 4
    tables = empty((frames, tiles[0] * tiles[1], stride), np.uint16)
    out = empty(values.shape, np.uint16)
    most = max(int(clip_limit * height * width / bins), 1) if clip_limit > 0 else height * width
    sizes = tuple(np.int32(n) for n in (*shape, height, width, *tiles, bins, stride))
    body = _shared if bins <= _SHARED_BINS else _wide
    body(values, tables, out, sizes, np.int32(most))
    return out


def _shared(values: Array, tables: Array, out: Array, sizes: tuple[Any, ...], most: Any) -> None:
    """Queue the kernels that count and look up in shared memory."""
    frames, tiles, _ = tables.shape
    down, along = int(sizes[4]), int(sizes[5])
    launch("clahe.equalise", (tiles, 1, frames), (values, tables, *sizes, most))
    cells = (down + 1) * (along + 1)
    launch("clahe.interpolate", (cells, 1, frames), (values, tables, out, *sizes))


def _wide(values: Array, tables: Array, out: Array, sizes: tuple[Any, ...], most: Any) -> None:
    """Queue the kernels that count and look up in global memory."""
    frames, tiles, stride = tables.shape
    _, rows, columns = batched(values)
    counts = zeros((frames, tiles, stride + stride // _WARP), np.int32)
    arguments = (values, tables, counts, *sizes, most)
    launch("clahe.equalise_wide", (tiles, 1, frames), arguments, threads=_WIDE_THREADS)
    grid = blocks(columns), rows, frames
    launch("clahe.interpolate_wide", grid, (values, tables, out, *sizes))


def _padded(shape: list[int], tiles: tuple[int, int]) -> tuple[int, int]:
    """Return the extended shape. As in OpenCV, once one axis needs it both are extended."""
    if shape[0] % tiles[0] == 0 and shape[1] % tiles[1] == 0:
        return shape[0], shape[1]
    return shape[0] + tiles[0] - shape[0] % tiles[0], shape[1] + tiles[1] - shape[1] % tiles[1]
