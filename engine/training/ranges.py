"""The range of a model's training pictures, and how well it tells others from them.

The range of a feature reaches from its 0.5 to its 99.5 percentile, over the training slices or over
phantoms, whichever is further out, widened at both ends by a share of that width: the smallest of
`MARGINS` by which at most `FALSE_ALARMS` of the validation slices, and of other phantoms, lie
outside; the largest where none does. What is held out chooses nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engine.novelty import Range, score
from engine.postprocess import features
from engine.training import data, strangers
from engine.training.data import SIDE, Bytes
from engine.training.evaluate import BATCH, Predict
from engine.training.strangers import Picture

PERCENTILES = (0.5, 99.5)
MARGINS = tuple(step / 20 for step in range(21))
FALSE_ALARMS = 0.02
DIGITS = 4
VARIANTS = 1  # dequantised copies of each slice: 8-bit pictures and what scanners store
PHANTOMS = 100  # one frame of each heart
SEED = 1
PHANTOM_SEEDS = {"training": 1, "validation": 2, "held out": 3}

Features = dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Flagged:
    """How many frames of a group lie outside the range. `known` groups should not."""

    group: str
    known: bool
    frames: int
    flagged: int
    median_novelty: float

    @property
    def share(self) -> float:
        """The false-alarm rate of a known group, the detection rate of another."""
        return self.flagged / self.frames if self.frames else 0.0


@dataclass(frozen=True, kw_only=True)
class Report:
    """The range, the margin that validation chose, and what it flags."""

    trained: Range
    margin: float
    groups: list[Flagged]

    def as_json(self) -> dict[str, Any]:
        """Return the object that `scanstream model range --json` prints."""
        rows = [{**vars(one), "share": one.share} for one in self.groups]
        return {"trained_range": dict(self.trained.bounds), "margin": self.margin, "groups": rows}


def openvino_predictor(path: Path, threads: int) -> Predict:
    """Return the predictor of an ONNX file, computed in float32 in this process."""
    import openvino

    options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads}
    request = openvino.Core().compile_model(str(path), "CPU", options).create_infer_request()

    def predict(images: Bytes) -> tuple[Bytes, Any]:
        found = request.infer({"image": images})
        return found["mask"].copy(), found["confidence"].copy()

    return predict


def known_pictures(folder: Path, *, held_out: bool) -> dict[str, list[Picture]]:
    """Return training and validation, and what is held out where it is asked for."""
    there = data.subjects_in(folder)
    apart = (*data.HELD_OUT, *data.VALIDATION)
    subjects = {
        "training": [name for name in there if name not in apart],
        "validation": list(data.VALIDATION),
        **({"held out": list(data.HELD_OUT)} if held_out else {}),
    }
    found = {}
    for use, names in subjects.items():
        slices = data.load_slices(folder, names)
        real = data.real_pictures(slices, variants=VARIANTS, seed=SEED)
        phantoms = data.phantom_pictures(PHANTOMS, per_heart=1, seed=PHANTOM_SEEDS[use])
        found[use] = _squares(real.images)
        found[f"{use}, phantoms"] = _squares(phantoms.images)
    return found


def unknown_pictures(folder: Path) -> dict[str, list[Picture]]:
    """Return what is no heart, or none as in training."""
    slices = data.load_slices(folder, data.VALIDATION)
    return {
        **strangers.artificial(SEED),
        "pydicom's CT, MR, CR": strangers.packaged(),
        **strangers.spoiled(slices),
    }


def measured(pictures: Sequence[Picture], predict: Predict) -> list[Features]:
    """Return each picture's features, with the mask that the model gives it."""
    found = []
    for start in range(0, len(pictures), BATCH):
        batch = pictures[start : start + BATCH]
        answers = predict(np.stack([image for image, _ in batch])[:, None])
        for (image, shape), mask, sure in zip(batch, *answers, strict=True):
            found.append(features(image, shape, mask, sure))
    return found


def fitted(sources: Sequence[Sequence[Features]], margin: float) -> Range:
    """Return each feature's furthest percentiles over the sources, widened by `margin` of that."""
    bounds = {}
    for name in sorted({name for source in sources for one in source for name in one}):
        values = [[one[name] for one in source if name in one] for source in sources]
        ends = np.array([np.percentile(some, PERCENTILES) for some in values if some])
        low, high = float(ends[:, 0].min()), float(ends[:, 1].max())
        spare = margin * (high - low)
        bounds[name] = (round(low - spare, DIGITS), round(high + spare, DIGITS))
    return Range(bounds)


def chosen(
    training: Sequence[Sequence[Features]], validation: Sequence[Sequence[Features]]
) -> tuple[Range, float]:
    """Return the range of the smallest margin with few enough false alarms, and that margin."""
    for margin in MARGINS:
        trained = fitted(training, margin)
        if all(_rate(source, trained) <= FALSE_ALARMS for source in validation):
            break
    return trained, margin


def report(known: Mapping[str, list[Features]], unknown: Mapping[str, list[Features]]) -> Report:
    """Fit the range to the training pictures and phantoms, and count what it flags."""
    uses = [[known[use], known[f"{use}, phantoms"]] for use in ("training", "validation")]
    trained, margin = chosen(*uses)
    groups = [
        _flagged(group, found, trained, known=group in known)
        for group, found in {**known, **unknown}.items()
    ]
    return Report(trained=trained, margin=margin, groups=groups)


def dicom_folder(folder: Path) -> list[Picture]:
    """Return the MR frames of every DICOM file below `folder`, through the decoders."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return [picture for path in paths for picture in strangers.dicom_pictures(path, ("MR",))]


def _flagged(group: str, found: list[Features], trained: Range, *, known: bool) -> Flagged:
    scores = [score(one, trained) for one in found]
    return Flagged(
        group=group,
        known=known,
        frames=len(scores),
        flagged=sum(one > 0 for one in scores),
        median_novelty=round(float(np.median(scores)), DIGITS) if scores else 0.0,
    )


def _rate(found: Sequence[Features], trained: Range) -> float:
    return float(np.mean([score(one, trained) > 0 for one in found]))


def _squares(images: Iterable[Bytes]) -> list[Picture]:
    return [(image, (SIDE, SIDE)) for image in images]
