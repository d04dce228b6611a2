"""A library with the names of CuPy that the CUDA bodies use, over host memory.

`RawModule` compiles the CUDA source by g++ behind `shim.h`. Unlike CUDA it checks: that each
argument has the type that the kernel declares, that nothing is written before or after an array,
that inputs stay as they were, and that barriers are met by all threads. Its arrays refuse what
would wait for the device.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar, NoReturn

import numpy as np
import pytest

Host = np.ndarray[Any, np.dtype[Any]]

_SHIM = Path(__file__).with_name("shim.h")
# No fused multiply-add, as on the GPU. Of the sanitizers those that a kernel may offend: an index
# beyond a shared array, numbers that overflow, values that do not lie at a multiple of their size.
_COMPILE = (
    *("g++", "-std=c++17", "-O1", "-fPIC", "-shared", "-ffp-contract=off", "-fno-strict-aliasing"),
    "-fsanitize=bounds,alignment,signed-integer-overflow,integer-divide-by-zero,shift",
    "-fno-sanitize-recover=all",
    *("-Wall", "-Wextra", "-Werror", "-Wno-unused", "-Wno-clobbered"),
    "-Wl,-Bsymbolic",  # a kernel may have the name of a function of the C library
)
_GUARD = 256  # bytes before and after an array
_FILL = 0xA5  # what nobody wrote yet; as a number it is none that a test expects
_KERNEL = re.compile(r'extern\s+"C"\s+__global__\s+void\s+(?:__launch_bounds__\(\w+\)\s+)?(\w+)\(')


def kernel_names(source: str) -> list[str]:
    """Return the names of the kernels in a CUDA source."""
    return _KERNEL.findall(source)


class ndarray(np.ndarray):
    """An array "of the device": `asnumpy` and `get` alone bring its values to the host."""

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise AssertionError("this waits for the device")

    def set(self, values: Host, stream: object = None) -> None:
        self[...] = values

    def get(self, stream: object = None, out: Host | None = None, blocking: bool = True) -> Host:
        if out is None:
            return asnumpy(self)
        out[...] = asnumpy(self)
        return out

    min = max = any = all = sum = item = tolist = _refuse

    def copy(self, order: Any = "C") -> ndarray:
        return asarray(self)

    def astype(self, dtype: Any, copy: bool = True, **_: object) -> ndarray:
        return self if not copy and self.dtype == dtype else asarray(np.ndarray.astype(self, dtype))

    __bool__ = __int__ = __float__ = __index__ = __iter__ = _refuse


ndarray.__module__ = "cupy"


class Kernel:
    """A kernel as CuPy hands it out: called with grid, block and arguments."""

    def __init__(self, library: ctypes.CDLL, name: str, reverse: bool) -> None:
        self._name, self._reverse = name, reverse
        self._launch = library[f"launch_{name}"]
        self._launch.restype = ctypes.c_char_p
        signature = library[f"signature_{name}"]
        signature.restype = ctypes.c_char_p
        self._types = signature().decode().split(", ")

    def __call__(
        self, grid: tuple[int, ...], block: tuple[int, ...], arguments: Sequence[Any]
    ) -> None:
        given = [_type_name(argument) for argument in arguments]
        declared = [name.removeprefix("const ") for name in self._types]
        assert given == declared, f"{self._name} takes {declared}, got {given}"
        inputs = [
            (array, array.tobytes())
            for array, name in zip(arguments, self._types, strict=True)
            if name.startswith("const ")
        ]
        cells = [_cell(argument) for argument in arguments]
        pointers = (ctypes.c_void_p * len(cells))(*(ctypes.addressof(cell) for cell in cells))
        problem = self._launch(_three(grid), _three(block), pointers, int(self._reverse))
        assert problem is None, f"{self._name}: {problem.decode()}"
        for array in arguments:
            _check_guards(array, self._name)
        for array, before in inputs:
            assert array.tobytes() == before, f"{self._name} wrote to an input"


def _type_name(argument: Any) -> str:
    assert isinstance(argument, (ndarray, np.generic)), f"{type(argument)} has no fixed type"
    if isinstance(argument, ndarray):
        assert argument.flags.c_contiguous, "kernels take C-ordered arrays"
        return f"{argument.dtype.name}*"
    return argument.dtype.name


def _cell(argument: Any) -> Any:
    if isinstance(argument, ndarray):
        return ctypes.c_void_p(argument.ctypes.data)
    return ctypes.create_string_buffer(argument.tobytes(), argument.nbytes)


def _three(sizes: tuple[int, ...]) -> Any:
    assert all(0 < size < 2**31 for size in sizes), f"a grid of {sizes}"
    assert all(size < 2**16 for size in sizes[1:]), f"a grid of {sizes}"
    return (ctypes.c_uint * 3)(*sizes, *(1,) * (3 - len(sizes)))


def _check_guards(array: Any, kernel: str) -> None:
    whole = array
    while isinstance(getattr(whole, "base", None), np.ndarray):
        whole = whole.base
    if isinstance(array, ndarray) and whole.dtype == np.uint8 and whole.ndim == 1:
        edges = np.concatenate([whole[:_GUARD], whole[-_GUARD:]])
        assert (np.asarray(edges) == _FILL).all(), f"{kernel} wrote outside of an array"


@cache
def _compiled(source: str, options: tuple[str, ...]) -> ctypes.CDLL:
    """Compile for the CPU; kept beside Python's own compiled files for the next run."""
    wrappers = "".join(f"SHIM_KERNEL({name})\n" for name in kernel_names(source))
    # unnamed: what is in it is of this source alone, and so is its shared memory
    text = f"{_SHIM.read_text()}\nnamespace {{\n{source}\n}}\n{wrappers}"
    command = (*_COMPILE, *(option for option in options if option.startswith("-D")))
    key = hashlib.sha256(repr((command, text)).encode()).hexdigest()[:32]
    folder = Path(__file__).with_name("__pycache__")
    folder.mkdir(exist_ok=True)
    library = folder / f"{key}.so"
    if not library.exists():
        with tempfile.TemporaryDirectory(dir=folder) as fresh:
            made = Path(fresh) / "kernels.so"
            run = [*command, "-x", "c++", "-", "-o", str(made)]
            done = subprocess.run(run, input=text, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            made.replace(library)
    return ctypes.CDLL(str(library))


class RawModule:
    """A CUDA source, compiled for the CPU."""

    reverse: ClassVar[bool] = False

    def __init__(self, *, code: str, options: tuple[str, ...] = ()) -> None:
        self._library = _compiled(code, options)

    def get_function(self, name: str) -> Kernel:
        return Kernel(self._library, name, self.reverse)


def empty(shape: tuple[int, ...] | int, dtype: Any = np.float64) -> ndarray:
    """Return an array between two guards, full of what no kernel wrote."""
    sizes = (shape,) if isinstance(shape, int) else tuple(int(size) for size in shape)
    count = int(np.prod(sizes, dtype=np.int64)) * np.dtype(dtype).itemsize
    whole = np.full(count + 2 * _GUARD, _FILL, np.uint8)
    return whole[_GUARD : _GUARD + count].view(dtype).reshape(sizes).view(ndarray)


def zeros(shape: tuple[int, ...] | int, dtype: Any = np.float64) -> ndarray:
    values = empty(shape, dtype)
    values[...] = 0
    return values


def asarray(values: Host) -> ndarray:
    """Copy to the device."""
    copied = empty(values.shape, values.dtype.newbyteorder("="))
    copied[...] = values
    return copied


def ascontiguousarray(values: ndarray, dtype: Any = None) -> ndarray:
    wanted = np.dtype(dtype or values.dtype)
    if values.flags.c_contiguous and values.dtype == wanted:
        return values
    copied = empty(values.shape, wanted)
    copied[...] = values
    return copied


def asnumpy(values: ndarray) -> Host:
    """Copy to the host."""
    return np.array(values.view(np.ndarray))


def library(*, reverse: bool) -> ModuleType:
    """Return the library to put in CuPy's place; `reverse`: run threads and blocks backwards.

    Skips the test where there is no compiler; in CI there is one.
    """
    if shutil.which("g++") is None:
        assert os.environ.get("CI") != "true", "g++ is not installed: apt-get install g++"
        pytest.skip("g++ is not installed: apt-get install g++")
    fake = ModuleType("cupy")
    order = type("RawModule", (RawModule,), {"reverse": reverse})
    fake.__dict__.update(RawModule=order, ndarray=ndarray)
    stream = SimpleNamespace(synchronize=lambda: None)
    fake.cuda = SimpleNamespace(  # type: ignore[attr-defined]
        runtime=SimpleNamespace(getDevice=lambda: 0), get_current_stream=lambda: stream
    )
    for function in (empty, zeros, asarray, ascontiguousarray, asnumpy):
        setattr(fake, function.__name__, function)
    return fake
