"""Operations on one frame: NumPy arrays in, NumPy arrays out, the GIL released in between.

An operation is a file of its name: the words and the checks; the arithmetic is in the body that
fits the array (`kernels.backend`), and `kernels._reference` is the specification.
"""

from kernels.bilateral import bilateral
from kernels.clahe import clahe
from kernels.components import components
from kernels.delta_shuffle import delta_shuffle, undelta_shuffle
from kernels.errors import KernelInputError
from kernels.fill_holes import fill_holes
from kernels.first_order import first_order
from kernels.flatten_bias import flatten_bias
from kernels.glcm import glcm
from kernels.gradient import gradient
from kernels.largest_component import largest_component
from kernels.letterbox import Fit, fit, letterbox, unletterbox
from kernels.lut import lut
from kernels.median3 import median3
from kernels.modality import modality
from kernels.nlm import nlm
from kernels.noise import noise
from kernels.normalise import normalise
from kernels.percentile_window import percentile_window
from kernels.resample import Grid, regrid, resample
from kernels.shape import shape
from kernels.sharpness import sharpness
from kernels.unsharp import unsharp
from kernels.window import window
from kernels.window_resample_normalise import window_resample_normalise

__all__ = [
    "Fit",
    "Grid",
    "KernelInputError",
    "bilateral",
    "clahe",
    "components",
    "delta_shuffle",
    "fill_holes",
    "first_order",
    "fit",
    "flatten_bias",
    "glcm",
    "gradient",
    "largest_component",
    "letterbox",
    "lut",
    "median3",
    "modality",
    "nlm",
    "noise",
    "normalise",
    "percentile_window",
    "regrid",
    "resample",
    "shape",
    "sharpness",
    "undelta_shuffle",
    "unletterbox",
    "unsharp",
    "window",
    "window_resample_normalise",
]
