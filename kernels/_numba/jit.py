"""How the CPU bodies are compiled, and how arrays are handed to them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np

from kernels.backend import Array

F = TypeVar("F", bound=Callable[..., Any])

# Types that are compiled for as they are; the others are widened to one of these.
_NATIVE = {np.dtype(t) for t in (np.uint8, np.int16, np.uint16, np.float32, np.float64)}


def compiled(function: F) -> F:
    """Compile for the CPU, once per machine (cached on disk).

    The GIL is released, and the body runs on the calling thread alone: Numba's own thread layer
    aborts when several threads enter it at once, and a worker runs frames side by side.
    """
    try:
        return cast(F, numba.njit(nogil=True, cache=True)(function))
    except RuntimeError:  # no folder to cache in (a read-only container): compile every time
        return cast(F, numba.njit(nogil=True)(function))


def native(frame: Array) -> Array:
    """Return `frame` as a read-only, C-ordered array of a dtype the bodies are compiled for.

    Copies only what has another layout or dtype. Read-only and writable arrays are different
    types to Numba: handing over a read-only view always halves the number of compilations.
    """
    dtype = frame.dtype.newbyteorder("=")
    if dtype not in _NATIVE:
        dtype = _widened(dtype)
    view = np.ascontiguousarray(frame, dtype=dtype).view()
    view.flags.writeable = False
    return view


def floating(frame: Array) -> Array:
    """Return `frame` as `native` does, as float32 where that holds every value, else float64.

    For bodies that compute in float64 anyway: two types to compile for.
    """
    return native(frame.astype(np.result_type(frame.dtype, np.float32), copy=False))


def _widened(dtype: np.dtype[Any]) -> np.dtype[Any]:
    if dtype == np.int8:
        return np.dtype(np.int16)
    return np.dtype(np.float32 if dtype == np.float16 else np.float64)
