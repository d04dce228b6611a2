"""The chains that turn stored pixel values into the picture a model takes. Chains are data.

Training calls `enhance_array` and serving calls `enhance`: both run the same steps.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import numpy as np

import kernels
from engine.errors import EnhanceFailed
from engine.messages import FrameInfo, Palette
from kernels import KernelInputError

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
Step = tuple[str, dict[str, Any]]
Chain = tuple[Step, ...]

# A step is a kernel's name and its parameters, or a name of `_STEPS` below: these take what they
# need from the frame.
CHAINS: dict[str, Chain] = {
    "cine": (
        ("modality", {}),
        ("percentile_window", {"low": 1.0, "high": 99.5}),
        ("clahe", {"clip_limit": 2.0}),
        # Before the letterbox: its margins are no part of the picture. A cavity near the coil is
        # up to 4 standard deviations brighter than the mean, and must not be cut off.
        ("normalise", {"spread": 4.0}),
        ("letterbox", {"size": 256}),
    ),
    "enhance": (
        ("modality", {}),
        ("voi", {"bins": 4096}),
        ("median3", {}),
        ("clahe", {"clip_limit": 2.0}),
        ("unsharp", {"sigma": 1.0, "amount": 0.5}),
        ("shrink", {"size": 256}),
        ("normalise", {}),
        ("letterbox", {"size": 256}),
    ),
    "plain": (
        ("modality", {}),
        ("voi_shrink_normalise", {"size": 256}),
        ("letterbox", {"size": 256}),
    ),
}

# The percentiles that stand for the VOI window of a frame that has none.
_LOW, _HIGH = 1.0, 99.5

# What decoders give red, green and blue of: JPEG 2000 undoes its own transforms (PS3.5 8.2.4).
_RGB = ("RGB", "YBR_ICT", "YBR_RCT")

# Red, green and blue in luma (PS3.3 C.7.6.3.1.2, YBR_FULL).
_LUMA = np.array([0.2990, 0.5870, 0.1140], np.float32)


def canvas_of(chain: str) -> int | None:
    """Return the size of the canvas that `chain` ends with a letterbox on; None if it does not."""
    name, parameters = CHAINS[chain][-1] if CHAINS.get(chain) else ("", {})
    return int(parameters["size"]) if name == "letterbox" else None


def enhance(pixels: Array, info: FrameInfo, chain: str, *, margins: bool = True) -> Array:
    """Return the picture that the models of `chain` take: uint8 (256, 256).

    `pixels`: stored values, (rows, columns) or (rows, columns, samples), as `info` describes them.
    Colour, that of a palette too, becomes luma (PS3.3 C.7.6.3.1.2); MONOCHROME1 is inverted, so
    that more is brighter.
    "enhance" and "plain" apply the VOI window of the header (PS3.3 C.11.2), where there is none
    the percentiles 1 and 99.5. Without `margins` a letterbox gives what `kernels.fit` places, for
    a caller with a canvas. Raises EnhanceFailed when there is no such chain, the shape or the
    photometric interpretation is not one that can be used, or a kernel refuses the values.
    """
    try:
        grey = _grey(pixels, info)
        return _run(grey, chain, _tone(info), margins=margins)
    except KernelInputError as error:
        raise EnhanceFailed(f"frame {info.frame_number}, chain {chain}: {error}") from error


def modality_values(pixels: Array, info: FrameInfo) -> Array:
    """Return the values in the units of the modality, (rows, columns): what features measure.

    `pixels` as `enhance` takes them. Stored values times RescaleSlope plus RescaleIntercept,
    float32, or as they are stored where that changes nothing; colour is luma, and MONOCHROME1 is
    not inverted. Raises EnhanceFailed as `enhance` does.
    """
    try:
        return _modality(_grey(pixels, info), _tone(info)._replace(inverted=False))
    except KernelInputError as error:
        raise EnhanceFailed(f"frame {info.frame_number}: {error}") from error


def enhance_array(pixels: Array, chain: str) -> Array:
    """Return `enhance` of a bare (rows, columns) array: slope 1, intercept 0, no VOI window.

    Raises EnhanceFailed as `enhance` does.
    """
    try:
        return _run(pixels, chain, _Tone())
    except KernelInputError as error:
        raise EnhanceFailed(f"chain {chain}: {error}") from error


def warm() -> None:
    """Compile, or load from the cache, every body that the chains use for usual stored values."""
    rising = np.arange(272 * 300).reshape(272, 300) % 251
    for indices in (rising.astype(np.uint8), rising.astype(np.uint16)):
        _looked_up(indices, Palette(first=0, red=b"r", green=b"g", blue=b"b"))
    for chain in CHAINS:
        for tone in (_Tone(), _Tone(center=100.0, width=200.0)):
            for dtype in (np.uint8, np.int16, np.uint16):
                _run(rising.astype(dtype), chain, tone)
            _run(rising.astype(np.int16), chain, tone._replace(slope=2.0, intercept=-1024.0))


class _Tone(NamedTuple):
    """What the header says of the meaning of stored values."""

    slope: float = 1.0
    intercept: float = 0.0
    inverted: bool = False
    center: float | None = None
    width: float | None = None
    function: str = "LINEAR"


def _tone(info: FrameInfo) -> _Tone:
    return _Tone(
        info.rescale_slope,
        info.rescale_intercept,
        info.photometric_interpretation == "MONOCHROME1",
        info.window_center,
        info.window_width,
        info.voi_lut_function,
    )


def _run(pixels: Array, chain: str, tone: _Tone, *, margins: bool = True) -> Array:
    """Carry the pixels through the steps of the chain."""
    if chain not in CHAINS:
        known = ", ".join(sorted(CHAINS))
        raise KernelInputError(f"no enhancement chain of this name; these exist: {known}")
    for name, parameters in CHAINS[chain]:
        if name == "letterbox" and not margins:
            pixels = _shrink(pixels, tone, **parameters)
        elif name in _STEPS:
            pixels = _STEPS[name](pixels, tone, **parameters)
        else:
            pixels = getattr(kernels, name)(pixels, **parameters)
    return pixels


def _modality(pixels: Array, tone: _Tone) -> Array:
    """Apply the Modality LUT; with MONOCHROME1 more shall be brighter."""
    pixels = _rescaled(pixels, tone.slope, tone.intercept)
    return _inverted(pixels) if tone.inverted else pixels


def _rescaled(pixels: Array, slope: float, intercept: float) -> Array:
    """Apply the Modality LUT, unless it is the identity: integers stay integers and fast."""
    if slope == 1 and intercept == 0:
        return pixels
    return kernels.modality(pixels, slope=slope, intercept=intercept)


def _inverted(pixels: Array) -> Array:
    """Reverse the order of the values without leaving the dtype."""
    return -pixels if pixels.dtype.kind == "f" else ~pixels


def _voi(pixels: Array, tone: _Tone, bins: int) -> Array:
    """Apply the VOI window; return `bins` levels of grey."""
    if (window := _window(pixels, tone)) is None:
        return kernels.percentile_window(pixels, low=_LOW, high=_HIGH, bins=bins)
    return kernels.window(pixels, **window, bins=bins)


def _shrink(pixels: Array, tone: _Tone, size: int) -> Array:
    """Resample so that the longer side is `size`; the aspect is kept."""
    place = kernels.fit(pixels.shape, size)
    return kernels.resample(pixels, shape=(place.rows, place.columns))


def _voi_shrink_normalise(pixels: Array, tone: _Tone, size: int) -> Array:
    """Apply the VOI window, resample and normalise, in one pass over the frame."""
    if (window := _window(pixels, tone)) is None:
        levels = kernels.percentile_window(pixels, low=_LOW, high=_HIGH)
        return kernels.normalise(_shrink(levels, tone, size))
    place = kernels.fit(pixels.shape, size)
    shape = (place.rows, place.columns)
    return kernels.window_resample_normalise(pixels, **window, shape=shape)


def _window(pixels: Array, tone: _Tone) -> dict[str, Any] | None:
    """Return the parameters of `kernels.window`, or None where the header has no window.

    The width of a LINEAR window is 1 or more; a smaller one can only be meant exactly. Inverted
    values are those of the window's mirror image, y(x) = 1 - y(mirror - x).
    """
    if tone.center is None or tone.width is None:
        return None
    function = tone.function
    if function == "LINEAR" and tone.width < 1:
        function = "LINEAR_EXACT"
    center = tone.center
    if tone.inverted:
        mirror = 0 if pixels.dtype.kind == "f" else int(_inverted(np.zeros(1, pixels.dtype))[0])
        center = mirror - center + (function == "LINEAR")
    return {"center": center, "width": tone.width, "function": function}


_STEPS: dict[str, Callable[..., Array]] = {
    "modality": _modality,
    "voi": _voi,
    "shrink": _shrink,
    "voi_shrink_normalise": _voi_shrink_normalise,
}


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
    if meaning == "PALETTE COLOR" and info.palette is not None and pixels.ndim == 2:
        return _looked_up(pixels, info.palette)
    if meaning in _RGB and pixels.shape[2:] == (3,):
        return np.asarray(pixels.astype(np.float32) @ _LUMA)
    if meaning.startswith("YBR_") and pixels.shape[2:] == (3,):
        return np.ascontiguousarray(pixels[..., 0])
    raise KernelInputError(
        f"PhotometricInterpretation {meaning} with {info.samples_per_pixel} samples is not "
        "supported; monochrome, RGB and YBR with 3 samples, and a palette in the message are"
    )


def _looked_up(indices: Array, palette: Palette) -> Array:
    """Return the luma of each index; one beyond the tables takes their end (C.7.6.3.1.5)."""
    tables = [np.frombuffer(one, np.uint8) for one in (palette.red, palette.green, palette.blue)]
    if len({len(table) for table in tables}) > 1:
        raise KernelInputError("the palette's three tables differ in length")
    luma = np.stack(tables, axis=-1).astype(np.float32) @ _LUMA
    return kernels.lut(indices, table=luma, first=palette.first)
