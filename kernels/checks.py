"""The checks that several operations share. Each raises KernelInputError saying what is taken."""

from __future__ import annotations

import math

from kernels.backend import Array
from kernels.errors import KernelInputError

_NUMBERS = "uif"
_INTEGERS = "ui"
_EXACT = 2**53


def check_frame(frame: Array) -> None:
    """Refuse what is not a non-empty (rows, columns) array of finite integers or floats."""
    dtype = getattr(frame, "dtype", None)
    if dtype is None or dtype.kind not in _NUMBERS or dtype.itemsize not in (1, 2, 4, 8):
        raise KernelInputError(f"`frame` must be an array of integers or floats, got {dtype}")
    if frame.ndim != 2 or frame.size == 0:
        raise KernelInputError(f"`frame` must be (rows, columns), not empty, got {frame.shape}")
    if dtype.kind == "f" and not (math.isfinite(frame.min()) and math.isfinite(frame.max())):
        raise KernelInputError("`frame` holds NaN or infinity")
    if dtype.kind in _INTEGERS and dtype.itemsize == 8 and abs(frame).max() > _EXACT:
        raise KernelInputError("`frame` holds integers beyond 2**53, which float64 cannot")


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
