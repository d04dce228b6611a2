"""What the CUDA bodies share: arrays on the device, modules compiled once, launches.

CuPy is reached here alone, and only when one of its arrays is at hand. The tests put a library of
the same names in its place, which runs the kernels on the CPU.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import cache, lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from kernels.backend import Array

_FOLDER = Path(__file__).parent
# As in the specification: every product is rounded before it is added to.
OPTIONS = ("--std=c++17", "--fmad=false")
# Types that are compiled for as they are; the others are widened to one of these.
NATIVE = ("uint8", "int16", "uint16", "float32", "float64")
THREADS = 256  # of a block
QUADS = 4 * THREADS  # pixels of a block whose threads take four each (`map_pixels`)


def source(name: str) -> str:
    """Return the text that `<name>.cu` is compiled from, the prelude before it."""
    prelude = (_FOLDER / "prelude.cuh").read_text()
    return f'{prelude}\n#line 1 "{name}.cu"\n{(_FOLDER / f"{name}.cu").read_text()}'


def launch(
    kernel: str,
    grid: tuple[int, ...],
    arguments: Sequence[object],
    *,
    threads: int = THREADS,
    **types: Any,
) -> None:
    """Queue a kernel, "module.function", on the current stream; does not wait for it.

    `grid`: blocks along x, y, z. `threads`: of a block, along x. `arguments`: arrays of the device
    and NumPy scalars (`np.int32(3)`), exactly as the kernel declares them: CUDA checks no type.
    `types`: the number types that the source leaves open, such as VALUE="uint16".
    """
    _function(library(), kernel, tuple(sorted(types.items())))(grid, (threads,), tuple(arguments))


def module(name: str, **types: Any) -> Any:
    """Return the RawModule of `<name>.cu` for these types; compiled on the first call."""
    return _module(library(), name, tuple(sorted(types.items())))


def library() -> Any:
    """Return CuPy."""
    return import_module("cupy")


@cache
def _module(cupy: Any, name: str, types: tuple[tuple[str, Any], ...]) -> Any:
    options = (*OPTIONS, *(f"-D{key}={value}" for key, value in types))
    return cupy.RawModule(code=source(name), options=options)


@cache
def _function(cupy: Any, kernel: str, types: tuple[tuple[str, Any], ...]) -> Any:
    name, _, function = kernel.partition(".")
    return _module(cupy, name, types).get_function(function)


def native(frame: Array) -> Array:
    """Return `frame` C-ordered, of a dtype the kernels are compiled for (`NATIVE`).

    Copies only what has another layout or dtype, on the device.
    """
    dtype = frame.dtype.newbyteorder("=")
    if dtype.name not in NATIVE:
        dtype = _widened(dtype)
    values: Array = library().ascontiguousarray(frame, dtype=dtype)
    return values


def _widened(dtype: np.dtype[Any]) -> np.dtype[Any]:
    if dtype == np.int8:
        return np.dtype(np.int16)
    return np.dtype(np.float32 if dtype == np.float16 else np.float64)


def empty(shape: tuple[int, ...], dtype: Any) -> Array:
    """Return an array of the device whose values are what lay there before."""
    values: Array = library().empty(shape, dtype=dtype)
    return values


def zeros(shape: tuple[int, ...], dtype: Any) -> Array:
    """Return an array of zeros on the device."""
    values: Array = library().zeros(shape, dtype=dtype)
    return values


def constant(make: Callable[..., Array], *arguments: Hashable) -> Array:
    """Return `make(*arguments)` on the device. Made and copied there on the first call only."""
    cupy = library()
    return _constant(cupy, cupy.cuda.runtime.getDevice(), make, arguments)


@lru_cache(maxsize=256)
def _constant(
    cupy: Any, device: int, make: Callable[..., Array], arguments: tuple[Hashable, ...]
) -> Array:
    copied: Array = cupy.asarray(make(*arguments))
    # other streams will read it, which know nothing of this one
    cupy.cuda.get_current_stream().synchronize()  # synchronize
    return copied


def blocks(items: int, each: int = THREADS) -> int:
    """Return how many blocks it takes for `items`, `each` a block."""
    return -(-items // each)


def rounding(dtype: np.dtype[Any]) -> tuple[Any, Any, Any]:
    """Return what kernels take that give numbers of `dtype`: whether integers, least and most."""
    if dtype.kind not in "ui":
        return np.int32(0), np.float64(0), np.float64(0)
    limits = np.iinfo(dtype)
    return np.int32(1), np.float64(limits.min), np.float64(limits.max)


def batched(values: Array) -> tuple[int, int, int]:
    """Return frames, rows and columns of a frame or of a batch, (frames, rows, columns)."""
    rows, columns = values.shape[-2:]
    return values.size // (rows * columns), rows, columns
