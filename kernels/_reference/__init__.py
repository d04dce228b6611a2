"""The bodies in NumPy: slow, readable, and the specification of all others."""

from kernels._reference.bilateral import bilateral
from kernels._reference.clahe import clahe
from kernels._reference.components import components
from kernels._reference.delta_shuffle import delta_shuffle, undelta_shuffle
from kernels._reference.fill_holes import fill_holes
from kernels._reference.first_order import first_order
from kernels._reference.flatten_bias import flatten_bias
from kernels._reference.glcm import glcm
from kernels._reference.gradient import gradient
from kernels._reference.largest_component import largest_component
from kernels._reference.lut import lut
from kernels._reference.median3 import median3
from kernels._reference.modality import modality
from kernels._reference.nearest import nearest
from kernels._reference.nlm import nlm
from kernels._reference.noise import noise
from kernels._reference.normalise import normalise
from kernels._reference.percentile_window import percentile_window
from kernels._reference.resample import resample
from kernels._reference.shape import shape
from kernels._reference.sharpness import sharpness
from kernels._reference.unsharp import unsharp
from kernels._reference.window import window
from kernels._reference.window_resample_normalise import window_resample_normalise

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
