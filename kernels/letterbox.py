"""A frame of any shape on a square canvas, and back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kernels.backend import Array, backend_of
from kernels.checks import check_frame, check_integers, check_shape
from kernels.errors import KernelInputError
from kernels.resample import resample


@dataclass(frozen=True, slots=True)
class Fit:
    """Where a picture lies on the square canvas, in pixels of the canvas."""

    rows: int
    columns: int
    top: int
    left: int


def fit(shape: tuple[int, int], size: int) -> Fit:
    """Place a grid of `shape`, (rows, columns), centred on a canvas of `size` x `size`.

    The longer side fills the canvas and the aspect is kept; no side falls below one pixel.
    Raises KernelInputError for a shape or a size without pixels.
    """
    check_shape(shape)
    check_shape((size, size), "size")
    longest = max(shape)
    rows, columns = (max(1, (2 * n * size + longest) // (2 * longest)) for n in shape)
    return Fit(rows, columns, (size - rows) // 2, (size - columns) // 2)


def letterbox(frame: Array, /, *, size: int) -> Array:
    """Resample `frame` to fit a canvas of (size, size); what it does not cover is zero.

    `frame`: (rows, columns), any integer or float dtype; the same dtype is returned. A frame of
    exactly (size, size) is returned itself, not a copy. Raises KernelInputError as `resample`.
    """
    check_frame(frame)
    place = fit(frame.shape, size)
    picture = resample(frame, shape=(place.rows, place.columns))
    if picture.shape == (size, size):
        return picture
    canvas = np.zeros_like(picture, shape=(size, size))
    canvas[place.top : place.top + place.rows, place.left : place.left + place.columns] = picture
    return canvas


def unletterbox(mask: Array, /, *, shape: tuple[int, int]) -> Array:
    """Bring a label map from the canvas of `letterbox` back to the frame's grid.

    `mask`: uint8 (size, size). `shape`: (rows, columns) of the frame. Returns uint8 of `shape`,
    each pixel the nearest label; for a shape of (size, size) the mask itself, not a copy. Raises
    KernelInputError when the mask is not a square uint8 array.
    """
    check_integers(mask, "mask")
    check_shape(shape)
    if mask.dtype != np.uint8 or mask.shape[0] != mask.shape[1]:
        raise KernelInputError(f"`mask` must be square uint8, got {mask.shape} {mask.dtype}")
    if tuple(shape) == mask.shape:
        return mask
    place = fit(shape, mask.shape[0])
    box = mask[place.top : place.top + place.rows, place.left : place.left + place.columns]
    result: Array = backend_of(mask).nearest(box, (int(shape[0]), int(shape[1])))
    return result
