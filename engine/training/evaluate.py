"""Score a predictor on labelled slices: Dice by subject, the pooled Dice beside it.

Needs no PyTorch: a predictor maps uint8 [N, 1, 256, 256] to `(mask, confidence)`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.enhance import enhance_array
from engine.postprocess import encode_mask, segment
from engine.training.data import CHAIN, Bytes, Slice

Predict = Callable[[Bytes], tuple[Bytes, NDArray[np.float32]]]

BATCH = 8


@dataclass(frozen=True, kw_only=True)
class Scored:
    """One slice's answer: uint8 (rows, columns) masks, what was found and what is true."""

    name: str
    subject: str
    found: Bytes
    true: Bytes

    @cached_property
    def dice(self) -> float:
        """Of this slice alone."""
        return dice(self.found, self.true)

    def as_json(self) -> dict[str, Any]:
        """Return sizes in pixels and both masks as COCO run lengths."""
        found, true = encode_mask(self.found, "found"), encode_mask(self.true, "true")
        return {
            "name": self.name,
            "subject": self.subject,
            "dice": self.dice,
            "found_px": int(np.count_nonzero(self.found)),
            "true_px": int(np.count_nonzero(self.true)),
            "size": list(true.size),
            "found": list(found.counts),
            "true": list(true.counts),
        }


@dataclass(frozen=True, kw_only=True)
class Score:
    """Dice by subject (the mean over its slices), and over all pixels of all slices.

    `seconds`: the chain, the predictor and what follows it, one batch after the other.
    """

    slices: tuple[Scored, ...]
    seconds: float

    @classmethod
    def together(cls, parts: Iterable[Score]) -> Score:
        """Return one score over the slices of several, such as the folds'."""
        parts = tuple(parts)
        return cls(
            slices=tuple(one for part in parts for one in part.slices),
            seconds=sum(part.seconds for part in parts),
        )

    def without(self, subjects: Collection[str]) -> Score:
        """Return the score over the slices of all others; the seconds stay."""
        kept = tuple(one for one in self.slices if one.subject not in subjects)
        return Score(slices=kept, seconds=self.seconds)

    @cached_property
    def subjects(self) -> dict[str, float]:
        """Each subject's mean over its slices, by name."""
        values: dict[str, list[float]] = {}
        for one in self.slices:
            values.setdefault(one.subject, []).append(one.dice)
        return {name: float(np.mean(some)) for name, some in sorted(values.items())}

    @cached_property
    def pooled(self) -> float:
        """Dice over all pixels of all slices: large cavities count more."""
        found = np.concatenate([one.found.ravel() > 0 for one in self.slices])
        true = np.concatenate([one.true.ravel() > 0 for one in self.slices])
        return dice(found.view(np.uint8), true.view(np.uint8))

    @property
    def frames_per_second(self) -> float:
        """Slices over `seconds`."""
        return len(self.slices) / self.seconds

    @property
    def mean(self) -> float:
        """Mean over subjects."""
        return float(np.mean(list(self.subjects.values())))

    @property
    def worst(self) -> float:
        """The lowest subject."""
        return min(self.subjects.values())

    def means(self) -> dict[str, float]:
        """Return the mean and the lowest over subjects, and the pooled Dice."""
        return {"mean_dice": self.mean, "worst_dice": self.worst, "pooled_dice": self.pooled}

    def as_json(self, *, model: str, version: str, precision: str) -> dict[str, Any]:
        """Return the object that `scanstream model evaluate --json` prints."""
        return {
            "model": model,
            "version": version,
            "precision": precision,
            "subjects": self.subjects,
            **self.means(),
            "frames_per_second": self.frames_per_second,
            "slices": len(self.slices),
        }


def dice(found: Bytes, true: Bytes) -> float:
    """Return 2|A and B| / (|A| + |B|) (Dice 1945); 1 where both are empty."""
    total = int(np.count_nonzero(found)) + int(np.count_nonzero(true))
    both = int(np.count_nonzero((found > 0) & (true > 0)))
    return 2 * both / total if total else 1.0


def evaluate(slices: Sequence[Slice], predict: Predict) -> Score:
    """Run every slice through the chain, the predictor and the largest component; compare."""
    begun = time.perf_counter()
    found: list[Bytes] = []
    for start in range(0, len(slices), BATCH):
        found += _masks(slices[start : start + BATCH], predict)
    seconds = time.perf_counter() - begun
    return Score(
        slices=tuple(
            Scored(name=each.name, subject=each.subject, found=mask, true=each.mask)
            for each, mask in zip(slices, found, strict=True)
        ),
        seconds=seconds,
    )


def _masks(batch: Sequence[Slice], predict: Predict) -> list[Bytes]:
    """Return the mask of each slice on the slice's own grid."""
    images = np.stack([enhance_array(each.pixels, CHAIN) for each in batch])[:, None]
    masks, _ = predict(images)
    return [
        segment(mask, (each.pixels.shape[0], each.pixels.shape[1]))
        for mask, each in zip(masks, batch, strict=True)
    ]
