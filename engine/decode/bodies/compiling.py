"""How the decoders of our own are compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """Compile for the CPU, once per machine (cached on disk), to run without the GIL.

    Not the kernels' own: that one brings every kernel with it, and a decoder needs none.
    """
    try:
        return cast(F, numba.njit(nogil=True, cache=True)(function))
    except RuntimeError:  # no folder to cache in (a read-only container): compile every time
        return cast(F, numba.njit(nogil=True)(function))
