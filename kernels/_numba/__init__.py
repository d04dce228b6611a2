"""The bodies for CPUs, compiled by Numba."""

from kernels._numba.clahe import clahe
from kernels._numba.largest_component import largest_component
from kernels._numba.median3 import median3
from kernels._numba.modality import modality
from kernels._numba.nearest import nearest
from kernels._numba.normalise import normalise
from kernels._numba.percentile_window import percentile_window
from kernels._numba.resample import resample
from kernels._numba.unsharp import unsharp
from kernels._numba.window import window

__all__ = [
    "clahe",
    "largest_component",
    "median3",
    "modality",
    "nearest",
    "normalise",
    "percentile_window",
    "resample",
    "unsharp",
    "window",
]
