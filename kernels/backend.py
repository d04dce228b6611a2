"""Choose the bodies that fit an array: one folder a backend, the same function names in each."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np

from kernels.errors import KernelInputError

Array = np.ndarray[Any, np.dtype[Any]]

# The library an array comes from -> the folder that holds the bodies for it.
_BODIES = {"numpy": "kernels._numba"}


def backend_of(array: object) -> ModuleType:
    """Return the module whose functions compute on arrays of this kind.

    Raises KernelInputError when there is none.
    """
    library = type(array).__module__.partition(".")[0]
    if library not in _BODIES:
        known = ", ".join(sorted(_BODIES))
        raise KernelInputError(f"no kernels for {type(array).__name__}: give an array of {known}")
    # Imported on first use: the compiler behind a body is slow to load.
    return import_module(_BODIES[library])
