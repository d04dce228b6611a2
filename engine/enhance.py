"""The chains that turn stored pixel values into the picture a model takes. Chains are data.

Training calls `enhance_array` and serving calls `enhance`: both run the same steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np

import kernels
from engine.errors import EnhanceFailed
from engine.messages import FrameInfo
from kernels import KernelInputError

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
Step = tuple[str, dict[str, Any]]
Chain = tuple[Step, ...]

# A step is a kernel's name and its parameters; `modality` takes its own from the frame.
CHAINS: dict[str, Chain] = {
    "cine": (
        ("modality", {}),
        ("percentile_window", {"low": 1.0, "high": 99.5}),
        ("clahe", {"clip_limit": 2.0}),
        ("normalise", {}),  # before the letterbox: its margins are no part of the picture
        ("letterbox", {"size": 256}),
    ),
}

# Red, green and blue in luma (PS3.3 C.7.6.3.1.2, YBR_FULL).
_LUMA = np.array([0.2990, 0.5870, 0.1140], np.float32)


def enhance(pixels: Array, info: FrameInfo, chain: str) -> Array:
    """Return the picture that the models of `chain` take, for "cine" uint8 (256, 256).

    `pixels`: stored values, (rows, columns) or (rows, columns, samples), as `info` describes them.
    Colour becomes luma (PS3.3 C.7.6.3.1.2); MONOCHROME1 is inverted, so that more is brighter.
    Raises EnhanceFailed when there is no such chain, the shape or the photometric interpretation
    is not one that can be used, or a kernel refuses the values.
    """
    try:
        grey = _grey(pixels, info)
        bright_is_low = info.photometric_interpretation == "MONOCHROME1"
        return _run(grey, chain, info.rescale_slope, info.rescale_intercept, bright_is_low)
    except KernelInputError as error:
        raise EnhanceFailed(f"frame {info.frame_number}, chain {chain}: {error}") from error


def enhance_array(pixels: Array, chain: str) -> Array:
    """Return `enhance` of a bare (rows, columns) array: one grey sample, slope 1, intercept 0.

    Raises EnhanceFailed as `enhance` does.
    """
    try:
        return _run(pixels, chain, 1.0, 0.0, False)
    except KernelInputError as error:
        raise EnhanceFailed(f"chain {chain}: {error}") from error


def warm() -> None:
    """Compile, or load from the cache, every body that the chains use for usual stored values."""
    rising = np.arange(272 * 300).reshape(272, 300)
    for chain in CHAINS:
        for dtype in (np.uint8, np.int16, np.uint16):
            enhance_array((rising % 251).astype(dtype), chain)
        _run((rising % 251).astype(np.int16), chain, 2.0, -1024.0, False)


def _run(pixels: Array, chain: str, slope: float, intercept: float, inverted: bool) -> Array:
    """Carry the pixels through the steps of the chain."""
    if chain not in CHAINS:
        known = ", ".join(sorted(CHAINS))
        raise KernelInputError(f"no enhancement chain of this name; these exist: {known}")
    for name, parameters in CHAINS[chain]:
        if name == "modality":
            pixels = _rescaled(pixels, slope, intercept)
            pixels = _inverted(pixels) if inverted else pixels
        else:
            pixels = _apply(name, pixels, parameters)
    return pixels


def _apply(name: str, pixels: Array, parameters: Mapping[str, Any]) -> Array:
    result: Array = getattr(kernels, name)(pixels, **parameters)
    return result


def _rescaled(pixels: Array, slope: float, intercept: float) -> Array:
    """Apply the Modality LUT, unless it is the identity: integers stay integers and fast."""
    if slope == 1 and intercept == 0:
        return pixels
    return kernels.modality(pixels, slope=slope, intercept=intercept)


def _inverted(pixels: Array) -> Array:
    """Reverse the order of the values without leaving the dtype."""
    return -pixels if pixels.dtype.kind == "f" else ~pixels


def _grey(pixels: Array, info: FrameInfo) -> Array:
    """Return one sample per pixel, (rows, columns)."""
    expected: tuple[int, ...] = (info.rows, info.columns)
    if info.samples_per_pixel > 1:
        expected += (info.samples_per_pixel,)
    if pixels.shape != expected:
        raise KernelInputError(f"pixels are {pixels.shape}, the header promises {expected}")
    meaning = info.photometric_interpretation
    if meaning in ("MONOCHROME1", "MONOCHROME2") and pixels.ndim == 2:
        return pixels
    if meaning == "RGB" and pixels.shape[2:] == (3,):
        return np.asarray(pixels.astype(np.float32) @ _LUMA)
    if meaning.startswith("YBR_") and pixels.shape[2:] == (3,):
        return np.ascontiguousarray(pixels[..., 0])
    raise KernelInputError(
        f"PhotometricInterpretation {meaning} with {info.samples_per_pixel} samples is not "
        "supported; monochrome, RGB and YBR with 3 samples are"
    )
