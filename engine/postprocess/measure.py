"""Label maps on the frame's grid, and what is measured on them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from engine.errors import FrameError
from engine.messages import Finding, Mask
from engine.postprocess.masks import encode_mask
from kernels import largest_component, unletterbox


def segment(mask: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return the label map on the frame's grid: uint8, `shape` = (rows, columns).

    `mask` is the model's label map, uint8, on its own square grid. Of every label only the largest
    8-connected component is kept.
    """
    kept = np.zeros_like(mask)
    for value in range(1, int(mask.max(initial=0)) + 1):
        component = largest_component((mask == value).view(np.uint8))
        kept[component > 0] = value
    return unletterbox(kept, shape=shape)


def measure(
    label_map: np.ndarray,
    labels: Sequence[str],
    confidence: Sequence[float],
    pixel_spacing: tuple[float, float] | None,
) -> tuple[list[Finding], list[Mask]]:
    """Return a finding and a mask for each label that is there.

    `label_map` is uint8 (rows, columns): value k is `labels[k - 1]`, whose confidence in [0, 1] is
    `confidence[k - 1]`; 0 is background. The area is the number of pixels times the row and column
    spacing in mm (PS3.3 10.7.1.3), None where the spacing is absent or not positive. The centroid
    is (x, y) in pixels; (0, 0) is the centre of the top left pixel. Raises `FrameError` for a value
    that has no label.
    """
    if int(label_map.max(initial=0)) > len(labels):
        raise FrameError(f"the mask has label {label_map.max()}, the model names {len(labels)}")
    findings, masks = [], []
    for value, (label, sure) in enumerate(zip(labels, confidence, strict=True), start=1):
        inside = label_map == value
        if not inside.any():
            continue
        findings.append(_finding(inside, label, sure, pixel_spacing))
        masks.append(encode_mask(inside, label))
    return findings, masks


def _finding(
    inside: np.ndarray, label: str, sure: float, pixel_spacing: tuple[float, float] | None
) -> Finding:
    by_column, by_row = inside.sum(axis=0), inside.sum(axis=1)
    pixels = int(by_row.sum())
    x = float(by_column @ np.arange(len(by_column))) / pixels
    y = float(by_row @ np.arange(len(by_row))) / pixels
    pixel_mm2 = pixel_area(pixel_spacing)
    return Finding(
        label=label,
        pixels=pixels,
        area_mm2=None if pixel_mm2 is None else pixels * pixel_mm2,
        centroid=(x, y),
        confidence=min(1.0, max(0.0, sure)),
    )


def pixel_area(pixel_spacing: tuple[float, float] | None) -> float | None:
    """Return a pixel's area in mm², None where PixelSpacing cannot be used."""
    if pixel_spacing is None:
        return None
    usable = all(math.isfinite(length) and length > 0 for length in pixel_spacing)
    return pixel_spacing[0] * pixel_spacing[1] if usable else None
