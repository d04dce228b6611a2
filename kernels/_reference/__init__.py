"""The bodies in NumPy: slow, readable, and the specification of all others."""

from kernels._reference.clahe import clahe
from kernels._reference.largest_component import largest_component
from kernels._reference.median3 import median3
from kernels._reference.modality import modality
from kernels._reference.nearest import nearest
from kernels._reference.normalise import normalise
from kernels._reference.percentile_window import percentile_window
from kernels._reference.resample import resample
from kernels._reference.unsharp import unsharp
from kernels._reference.window import window

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
