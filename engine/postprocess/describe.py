"""The features that a route asks for, on the frame's own grid and in the units of the modality."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple, TypeVar

import numpy as np

from engine.errors import EnhanceFailed
from engine.postprocess.measure import pixel_area, segment
from kernels import KernelInputError, first_order, glcm, gradient, noise, shape, sharpness

T = TypeVar("T")

DIGITS = 6  # significant: values of every scale are rounded alike

# What a group measures on the values of one label's region; `shape` and `quality` are below.
_OF_VALUES: dict[str, Callable[[np.ndarray, np.ndarray], Mapping[str, float]]] = {
    "first_order": first_order,
    "gradient": gradient,
    "glcm": glcm,
}
GROUPS = (*_OF_VALUES, "shape", "quality")

# Sizes say their unit: that of PixelSpacing, or pixels without one.
_IN_MM = {"area": "area_mm2", "perimeter": "perimeter_mm"} | {
    axis: f"{axis}_mm" for axis in ("major_axis", "minor_axis")
}
_IN_PIXELS = {name: f"{name}_px" for name in _IN_MM}


class Observed(NamedTuple):
    """What is kept of a frame's pixels until its mask is there."""

    quality: Mapping[str, float]  # features of the whole frame
    values: np.ndarray | None  # (rows, columns), only where a group of the route measures them


NOTHING = Observed({}, None)


def needs_values(groups: Collection[str]) -> bool:
    """Return whether any of the groups looks at pixel values."""
    return any(group != "shape" for group in groups)


def observe(values: np.ndarray, groups: Collection[str]) -> Observed:
    """Measure the whole frame, and keep its values only if a group of labels needs them.

    `values`: (rows, columns) in the units of the modality. Raises `EnhanceFailed` when a kernel
    refuses them.
    """
    quality = {}
    if "quality" in groups:
        quality = {"sharpness": _measured(sharpness, values), "noise": _measured(noise, values)}
    return Observed(
        {f"image.quality.{name}": value for name, value in quality.items()},
        values if any(group in _OF_VALUES for group in groups) else None,
    )


def describe(
    observed: Observed,
    label_map: np.ndarray,
    labels: Sequence[str],
    groups: Sequence[str],
    pixel_spacing: tuple[float, float] | None,
) -> dict[str, float]:
    """Return the features, as `<label>.<group>.<name>` and `image.quality.<name>`; all finite.

    `label_map`: uint8 (rows, columns), value k is `labels[k - 1]`; a label that is not there has
    no features. `observed` is of the same frame. Sizes of `shape` end in `_mm` and `_mm2` with a
    usable spacing (row, column), and in `_px` without. A value too large for a number is left out.
    Raises `EnhanceFailed` when a kernel refuses the values.
    """
    found = dict(observed.quality)
    for value, label in enumerate(labels, start=1):
        inside = label_map == value
        if groups and inside.any():
            of_label = _of_region(observed.values, inside, groups, pixel_spacing)
            found |= {f"{label}.{name}": number for name, number in of_label.items()}
    return {name: _rounded(number) for name, number in found.items() if math.isfinite(number)}


def warm(groups: Collection[str]) -> None:
    """Compile, or load from the cache, what masks and these groups run for usual values."""
    values = np.arange(64, dtype=np.int16).reshape(8, 8)
    mask = segment(np.ones((16, 16), np.uint8), (8, 8))
    describe(observe(values, groups), mask, ("all",), tuple(groups), None)


def _of_region(
    values: np.ndarray | None,
    inside: np.ndarray,
    groups: Sequence[str],
    pixel_spacing: tuple[float, float] | None,
) -> dict[str, float]:
    """Return the region's features as `<group>.<name>`."""
    window = _around(inside)
    mask = inside[window]
    found: dict[str, float] = {}
    for group in groups:
        named: Mapping[str, float] = {}
        if group == "shape":
            named = _shape(mask, pixel_spacing)
        elif values is not None and group in _OF_VALUES:
            named = _measured(_OF_VALUES[group], values[window], mask)
        found |= {f"{group}.{name}": number for name, number in named.items()}
    return found


def _around(inside: np.ndarray) -> tuple[slice, slice]:
    """Return the region's bounding box with a pixel around it, which the gradient looks at."""
    window = []
    for axis in (1, 0):
        there = np.flatnonzero(inside.any(axis=axis))
        window.append(slice(max(int(there[0]) - 1, 0), int(there[-1]) + 2))
    return window[0], window[1]


def _shape(mask: np.ndarray, pixel_spacing: tuple[float, float] | None) -> dict[str, float]:
    if pixel_spacing is None or pixel_area(pixel_spacing) is None:
        measured, units = shape(mask), _IN_PIXELS
    else:
        measured, units = shape(mask, spacing=pixel_spacing), _IN_MM
    return {units.get(name, name): value for name, value in measured.items()}


def _measured(measure: Callable[..., T], *arrays: np.ndarray) -> T:
    try:
        return measure(*arrays)
    except KernelInputError as error:
        raise EnhanceFailed(f"features: {error}") from error


def _rounded(number: float) -> float:
    return float(f"{number:.{DIGITS}g}")
