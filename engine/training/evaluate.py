"""Score a predictor on labelled slices: Dice by subject, the pooled Dice beside it.

Needs no PyTorch: a predictor maps uint8 [N, 1, 256, 256] to `(mask, confidence)`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.enhance import enhance_array
from engine.postprocess import segment
from engine.training.data import CHAIN, Bytes, Slice

Predict = Callable[[Bytes], tuple[Bytes, NDArray[np.float32]]]

BATCH = 8


@dataclass(frozen=True, kw_only=True)
class Score:
    """Dice by subject (the mean over its slices), and over all pixels of all slices."""

    subjects: dict[str, float]
    pooled: float
    frames_per_second: float

    @property
    def mean(self) -> float:
        """Mean over subjects."""
        return float(np.mean(list(self.subjects.values())))

    @property
    def worst(self) -> float:
        """The lowest subject."""
        return min(self.subjects.values())

    def as_json(self, *, model: str, version: str, precision: str) -> dict[str, Any]:
        """Return the object that `scanstream model evaluate --json` prints."""
        return {
            "model": model,
            "version": version,
            "precision": precision,
            "subjects": self.subjects,
            "mean_dice": self.mean,
            "worst_dice": self.worst,
            "pooled_dice": self.pooled,
            "frames_per_second": self.frames_per_second,
        }


def dice(found: Bytes, true: Bytes) -> float:
    """Return 2|A and B| / (|A| + |B|) (Dice 1945); 1 where both are empty."""
    total = int(np.count_nonzero(found)) + int(np.count_nonzero(true))
    both = int(np.count_nonzero((found > 0) & (true > 0)))
    return 2 * both / total if total else 1.0


def evaluate(slices: Sequence[Slice], predict: Predict) -> Score:
    """Run every slice through the chain, the predictor and the largest component; compare.

    `frames_per_second` counts the chain, the predictor and what follows it, one batch at a time.
    """
    begun = time.perf_counter()
    found: list[Bytes] = []
    for start in range(0, len(slices), BATCH):
        found += _masks(slices[start : start + BATCH], predict)
    spent = time.perf_counter() - begun
    by_subject: dict[str, list[float]] = {}
    both = total = 0
    for each, mask in zip(slices, found, strict=True):
        by_subject.setdefault(each.subject, []).append(dice(mask, each.mask))
        both += int(np.count_nonzero((mask > 0) & (each.mask > 0)))
        total += int(np.count_nonzero(mask)) + int(np.count_nonzero(each.mask))
    return Score(
        subjects={name: float(np.mean(values)) for name, values in sorted(by_subject.items())},
        pooled=2 * both / total if total else 1.0,
        frames_per_second=len(slices) / spent,
    )


def _masks(batch: Sequence[Slice], predict: Predict) -> list[Bytes]:
    """Return the mask of each slice on the slice's own grid."""
    images = np.stack([enhance_array(each.pixels, CHAIN) for each in batch])[:, None]
    masks, _ = predict(images)
    return [
        segment(mask, (each.pixels.shape[0], each.pixels.shape[1]))
        for mask, each in zip(masks, batch, strict=True)
    ]
