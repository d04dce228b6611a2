"""Operations on one frame: NumPy arrays in, NumPy arrays out, the GIL released in between.

An operation is a file of its name: the words and the checks; the arithmetic is in the body that
fits the array (`kernels.backend`), and `kernels._reference` is the specification.
"""

from kernels.clahe import clahe
from kernels.errors import KernelInputError
from kernels.largest_component import largest_component
from kernels.letterbox import Fit, fit, letterbox, unletterbox
from kernels.median3 import median3
from kernels.modality import modality
from kernels.normalise import normalise
from kernels.percentile_window import percentile_window
from kernels.resample import resample
from kernels.unsharp import unsharp
from kernels.window import window

__all__ = [
    "Fit",
    "KernelInputError",
    "clahe",
    "fit",
    "largest_component",
    "letterbox",
    "median3",
    "modality",
    "normalise",
    "percentile_window",
    "resample",
    "unletterbox",
    "unsharp",
    "window",
]
