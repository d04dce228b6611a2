"""Contrast-limited adaptive histogram equalisation, on as many levels as the data has."""

from __future__ import annotations

import numpy as np

from kernels.backend import Array, backend_of, on_host
from kernels.checks import check_bins, check_finite, check_integers, check_shape
from kernels.errors import KernelInputError


def clahe(
    frame: Array, /, *, clip_limit: float, tiles: tuple[int, int] = (8, 8), bins: int = 4096
) -> Array:
    """Equalise local contrast (Pizer 1987; Zuiderveld, Graphics Gems IV, 1994).

    `frame`: (rows, columns), integers in [0, bins - 1]. `clip_limit`: the height at which a
    tile's histogram is cut, as a multiple of its mean height; 0 does not cut. `tiles`: (rows,
    columns) of the grid. `bins`: the grey levels of the data, 4,096 for 12 bits. Returns uint16
    in [0, bins - 1] of the same shape. The rules for cutting, padding (reflect-101) and
    interpolating are OpenCV's: with 65,536 bins the values are those of its CLAHE on uint16.
    Raises KernelInputError when a value is outside, and for grids or limits that make no sense.
    """
    check_integers(frame)
    check_bins(bins)
    check_shape(tiles, "tiles")
    check_finite(clip_limit=clip_limit)
    if clip_limit < 0:
        raise KernelInputError(f"`clip_limit` must be >= 0, got {clip_limit}")
    if on_host(frame):
        _check_levels(frame, bins)
    levels = frame.astype(np.uint16, copy=False)
    # a limit of `bins` is a whole tile in one level: a higher one cuts no more, and would overflow
    result: Array = backend_of(frame).clahe(levels, float(min(clip_limit, bins)), tiles, bins)
    return result


def _check_levels(frame: Array, bins: int) -> None:
    least, most = int(frame.min()), int(frame.max())
    if least < 0 or most >= bins:
        raise KernelInputError(f"values must be in [0, {bins - 1}], got [{least}, {most}]")
