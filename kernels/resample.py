"""A frame on another grid."""

from __future__ import annotations

from typing import NamedTuple

from kernels.backend import Array, backend_of
from kernels.checks import check_finite, check_frame, check_shape
from kernels.errors import KernelInputError

METHODS = ("auto", "area", "linear", "cubic")
_LARGEST = 65535  # Rows and Columns are US (PS3.3 C.7.6.3.1)


class Grid(NamedTuple):
    """A grid of pixels: its shape, (rows, columns), and its PixelSpacing in mm, (row, column)."""

    shape: tuple[int, int]
    spacing: tuple[float, float]


def resample(frame: Array, /, *, shape: tuple[int, int], method: str = "auto") -> Array:
    """Resample to `shape`, (rows, columns), over the same field of view.

    `frame`: (rows, columns), any integer or float dtype. `method`, for each axis by itself, with
    pixel centres at half pixels: "area", the mean of what a new pixel covers; "linear" between
    two pixels; "cubic" between four (Keys 1981, a = -0.75), which may overshoot; "auto", the area
    where the axis shrinks to half or less, else linear. As OpenCV's INTER_AREA (shrinking),
    INTER_LINEAR and INTER_CUBIC. Edges are replicated. Returns the same dtype, integers rounded
    half up and clipped to their range; for an unchanged shape the frame itself, not a copy. For a
    spacing in mm take the shape of `regrid`. Raises KernelInputError for a shape without pixels,
    another method, NaN, infinity.
    """
    check_frame(frame)
    check_grid(shape, method)
    if tuple(shape) == frame.shape:
        return frame
    result: Array = backend_of(frame).resample(frame, (int(shape[0]), int(shape[1])), method)
    return result


def check_grid(shape: tuple[int, int], method: str) -> None:
    """Refuse a grid without pixels and a method that does not exist."""
    check_shape(shape)
    if method not in METHODS:
        raise KernelInputError(f"`method` must be one of {', '.join(METHODS)}, got {method!r}")


def regrid(
    shape: tuple[int, int], /, *, spacing: tuple[float, float], to: tuple[float, float]
) -> Grid:
    """Return the grid over the same field of view whose spacing is nearest to `to`.

    `shape`: (rows, columns) now; `spacing`: PixelSpacing (0028,0030) now, `to`: as wanted, both
    mm, (row, column). A grid has whole pixels: the spacing that it has exactly is returned with
    it, and is the one to measure with. Raises KernelInputError for a spacing that is not above 0
    and finite, and for a grid of more than 65,535 pixels a side.
    """
    check_shape(shape)
    for name, pair in (("spacing", spacing), ("to", to)):
        if len(pair) != 2:
            raise KernelInputError(f"`{name}` must be (row, column) in mm, got {pair}")
        check_finite(**{name: pair[0]})
        check_finite(**{name: pair[1]})
        if min(pair) <= 0:
            raise KernelInputError(f"`{name}` must be above 0 mm, got {pair}")
    fields = [n * mm for n, mm in zip(shape, spacing, strict=True)]
    wanted = [field / mm for field, mm in zip(fields, to, strict=True)]
    if max(wanted) > _LARGEST:
        raise KernelInputError(f"a spacing of {to} mm needs more than {_LARGEST} pixels a side")
    rows, columns = (max(int(n + 0.5), 1) for n in wanted)
    return Grid((rows, columns), (fields[0] / rows, fields[1] / columns))
