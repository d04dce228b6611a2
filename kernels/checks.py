"""The checks that several operations share. Each raises KernelInputError saying what is taken."""

from __future__ import annotations

import math

import numpy as np

from kernels.backend import Array, on_host
from kernels.errors import KernelInputError

_NUMBERS = "uif"
_INTEGERS = "ui"
_EXACT = 2**53

# The least difference of values that counts: one over it is finite in float32.
LEAST_SCALE = 1e-37


def check_frame(frame: Array) -> None:
    """Refuse what is not a non-empty (rows, columns) array of finite integers or floats.

    Values are looked at on the host only.
    """
    dtype = getattr(frame, "dtype", None)
    if dtype is None or dtype.kind not in _NUMBERS or dtype.itemsize not in (1, 2, 4, 8):
        raise KernelInputError(f"`frame` must be an array of integers or floats, got {dtype}")
    if frame.ndim != 2 or frame.size == 0:
        raise KernelInputError(f"`frame` must be (rows, columns), not empty, got {frame.shape}")
    if not on_host(frame):
        return
    # one subtraction finds NaN, infinity, and a span that would overflow
    if dtype.kind == "f" and not math.isfinite(float(frame.max()) - float(frame.min())):
        raise KernelInputError("`frame` holds NaN or infinity, or spans more than float64 does")
    # in Python's integers: the least int64 has no positive counterpart of its dtype
    wide = dtype.kind in _INTEGERS and dtype.itemsize == 8
    if wide and max(int(frame.max()), -int(frame.min())) > _EXACT:
        raise KernelInputError("`frame` holds integers beyond 2**53, which float64 cannot")


def check_float32(frame: Array) -> None:
    """Refuse, on the host, values whose differences float32 cannot hold."""
    wide = on_host(frame) and frame.dtype == np.float64
    if wide and float(frame.max()) - float(frame.min()) > float(np.finfo(np.float32).max):
        raise KernelInputError("`frame` spans more than float32 does")


def check_integers(frame: Array, name: str = "frame") -> None:
    """Refuse what is not a non-empty (rows, columns) array of integers."""
    dtype = getattr(frame, "dtype", None)
    if dtype is None or dtype.kind not in _INTEGERS:
        raise KernelInputError(f"`{name}` must be an array of integers, got {dtype}")
    if frame.ndim != 2 or frame.size == 0:
        raise KernelInputError(f"`{name}` must be (rows, columns), not empty, got {frame.shape}")


def check_finite(**parameters: float) -> None:
    """Refuse a parameter that is NaN or infinite, by its name."""
    for name, value in parameters.items():
        if not math.isfinite(value):
            raise KernelInputError(f"`{name}` must be finite, got {value}")


def check_bins(bins: int) -> None:
    """Refuse a number of grey levels that a uint16 cannot hold."""
    if not 2 <= bins <= 65536:
        raise KernelInputError(f"`bins` must be between 2 and 65536, got {bins}")


def check_shape(shape: tuple[int, int], name: str = "shape") -> None:
    """Refuse a grid with no pixel."""
    if len(shape) != 2 or min(shape) < 1:
        raise KernelInputError(f"`{name}` must be (rows, columns), each >= 1, got {shape}")


def check_mask(mask: Array, name: str = "mask") -> Array:
    """Return a mask as uint8, (rows, columns); refuse what is not uint8 or bool, or is empty."""
    if getattr(mask, "dtype", None) == np.bool_:
        mask = mask.view(np.uint8)
    check_integers(mask, name)
    if mask.dtype != np.uint8:
        raise KernelInputError(f"`{name}` must be uint8 or bool, got {mask.dtype}")
    return mask


def check_region(frame: Array, mask: Array | None) -> Array | None:
    """Return the mask of a region of `frame` as uint8; None is the whole frame."""
    if mask is None:
        return None
    mask = check_mask(mask)
    if mask.shape != frame.shape:
        raise KernelInputError(f"`mask` must be {frame.shape} as `frame` is, got {mask.shape}")
    return mask


def check_inside(pixels: float) -> None:
    """Refuse a region without a pixel, once a body has counted them."""
    if not pixels:
        raise KernelInputError("`mask` is empty: there is nothing to measure")


def check_levels(count: int, name: str, most: int) -> None:
    """Refuse a number of grey levels that makes no sense."""
    if not 2 <= count <= most:
        raise KernelInputError(f"`{name}` must be between 2 and {most}, got {count}")
