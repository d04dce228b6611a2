"""The bodies for CPUs, compiled by Numba."""

from kernels._numba.bilateral import bilateral
from kernels._numba.clahe import clahe
from kernels._numba.components import components
from kernels._numba.delta_shuffle import delta_shuffle, undelta_shuffle
from kernels._numba.fill_holes import fill_holes
from kernels._numba.first_order import first_order
from kernels._numba.flatten_bias import flatten_bias
from kernels._numba.glcm import glcm
from kernels._numba.gradient import gradient
from kernels._numba.largest_component import largest_component
from kernels._numba.lut import lut
from kernels._numba.median3 import median3
from kernels._numba.modality import modality
from kernels._numba.nearest import nearest
from kernels._numba.nlm import nlm
from kernels._numba.noise import noise
from kernels._numba.normalise import normalise
from kernels._numba.percentile_window import percentile_window
from kernels._numba.resample import resample
from kernels._numba.shape import shape
from kernels._numba.sharpness import sharpness
from kernels._numba.unsharp import unsharp
from kernels._numba.window import window
from kernels._numba.window_resample_normalise import window_resample_normalise

__all__ = [
    "bilateral",
    "clahe",
    "components",
    "delta_shuffle",
    "fill_holes",
    "first_order",
    "flatten_bias",
    "glcm",
    "gradient",
    "largest_component",
    "lut",
    "median3",
    "modality",
    "nearest",
    "nlm",
    "noise",
    "normalise",
    "percentile_window",
    "resample",
    "shape",
    "sharpness",
    "undelta_shuffle",
    "unsharp",
    "window",
    "window_resample_normalise",
]
