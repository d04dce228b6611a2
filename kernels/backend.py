"""Choose the bodies that fit an array: one folder a backend, the same function names in each."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np

from kernels.errors import KernelInputError

Array = np.ndarray[Any, np.dtype[Any]]

# The library an array comes from -> the folder that holds the bodies for it.
_BODIES = {"numpy": "kernels._numba", "cupy": "kernels._cupy"}


def backend_of(array: object) -> ModuleType:
    """Return the module whose functions compute on arrays of this kind.

    Raises KernelInputError when there is none.
    """
    library = _library_of(array)
    if library not in _BODIES:
        known = ", ".join(sorted(_BODIES))
        raise KernelInputError(f"no kernels for {type(array).__name__}: give an array of {known}")
    # Imported on first use: the compiler behind a body is slow to load.
    return import_module(_BODIES[library])


def to_host(array: Any) -> Array:
    """Return the array in host memory. Waits for the device where it lies on one."""
    host: Array = array.get() if hasattr(array, "get") else array  # synchronize
    return host


def on_host(array: object) -> bool:
    """True where looking at values is cheap. On a GPU it would wait for all that is queued."""
    return _library_of(array) == "numpy"


def _library_of(array: object) -> str:
    return type(array).__module__.partition(".")[0]
