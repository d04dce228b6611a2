"""Ejection fractions as the engine measures them, against contours and against phantoms.

Frames come as DICOM objects through the reader, the decoders, the chain, the served model and the
engine's own volume rule (`engine.postprocess.cine`), so a demonstration measures the same.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.enhance import enhance
from engine.errors import ConfigError
from engine.messages import FrameInfo
from engine.phantom import Phantom, dicom_objects
from engine.postprocess import segment
from engine.postprocess.cine import measure_cine, slice_position_mm
from engine.postprocess.measure import pixel_area
from engine.series import CineFrame
from engine.training.data import CHAIN, Bytes, Slice
from engine.training.evaluate import BATCH, Predict
from engine.training.strangers import dicom_frames

LIMIT_POINTS = 5.0
PHANTOM_SEEDS = 2_000_001  # on from here: neither of the training (data.py) nor of demonstrations

Frame = tuple[FrameInfo, NDArray[Any]]


@dataclass(frozen=True, kw_only=True)
class Ejection:
    """One heart's ejection fraction in percent, true and found; `slices` were summed.

    `kind`: what the truth is, `contours` or `phantom`.
    """

    name: str
    kind: str
    true: float
    found: float
    slices: int

    @property
    def error(self) -> float:
        """Found less true, in points."""
        return self.found - self.true

    def as_json(self) -> dict[str, Any]:
        """Return the row of `evaluate --json`."""
        return {**vars(self), "error": self.error, "within": abs(self.error) <= LIMIT_POINTS}


def of_phantom(target: float, seed: int, predict: Predict, **given: Any) -> Ejection:
    """Measure a whole phantom, all slices and phases, of `target` percent."""
    phantom = Phantom(ejection_fraction=target, seed=seed, **given)
    frames = [frame for data in _files(phantom) for frame in dicom_frames(data)]
    found = [
        _cine_frame(info, mask, info.trigger_time or 0.0)
        for (info, _), mask in zip(frames, found_masks(frames, predict), strict=True)
    ]
    fraction, slices = _fraction(found, f"phantom of {target:g} %")
    return Ejection(
        name=f"phantom {target:g} %, seed {seed}",
        kind="phantom",
        true=phantom.true_ejection_fraction,
        found=fraction,
        slices=slices,
    )


def of_subject(subject: str, pairs: Sequence[tuple[Slice, Frame]], predict: Predict) -> Ejection:
    """Compare with the contours, on the slices that have one at both ends of the beat.

    End diastole is the larger of a slice's two contours, for the truth and for the model.
    `pairs`: each labelled slice with its DICOM frame. Raises `ConfigError` where no slice has two.
    """
    ends = [pair for group in _by_place(pairs) for pair in _ends(group)]
    if not ends:
        raise ConfigError(f"{subject}: no slice has a contour at both ends of the beat")
    masks = found_masks([frame for _, frame in ends], predict)
    true, found = [], []
    for at, ((label, (info, _)), mask) in enumerate(zip(ends, masks, strict=True)):
        phase = float(at % 2)  # diastole, systole, in turn
        true.append(_cine_frame(info, label.mask, phase))
        found.append(_cine_frame(info, mask, phase))
    expected, slices = _fraction(true, f"{subject}'s contours")
    return Ejection(
        name=subject,
        kind="contours",
        true=expected,
        found=_fraction(found, subject)[0],
        slices=slices,
    )


def found_masks(frames: Sequence[Frame], predict: Predict) -> Iterator[Bytes]:
    """Yield the model's mask of each frame, on the frame's own grid."""
    for start in range(0, len(frames), BATCH):
        batch = frames[start : start + BATCH]
        masks, _ = predict(
            np.stack([enhance(pixels, info, CHAIN) for info, pixels in batch])[:, None]
        )
        for (info, _), mask in zip(batch, masks, strict=True):
            yield segment(mask, (info.rows, info.columns))


def labelled_frames(folder: Path, slices: Iterable[Slice]) -> dict[str, list[tuple[Slice, Frame]]]:
    """Return, by subject, the labelled slices that `folder` also holds as DICOM, with the frame.

    `folder` is laid out as the Sunnybrook study is: `link.csv` (patient_id, original_id) and
    `dicoms/<patient_id>/<n>.dcm`; n is the last number of the slice's name. Raises `ConfigError`
    naming what is missing.
    """
    links = _links(folder)
    found: dict[str, list[tuple[Slice, Frame]]] = {}
    for each in slices:
        if each.subject not in links:
            continue
        path = folder / "dicoms" / links[each.subject] / f"{_number(each.name)}.dcm"
        if not path.is_file():
            raise ConfigError(f"{each.name} has no DICOM file: {path} is missing")
        ((info, pixels),) = dicom_frames(path.read_bytes())
        found.setdefault(each.subject, []).append((each, (info, pixels)))
    if not found:
        raise ConfigError(f"{folder}/link.csv names none of the subjects with labels")
    return found


def _links(folder: Path) -> dict[str, str]:
    """Return the DICOM folder of each subject; SC-HF-I-1 there is SC-HF-I-01 here."""
    path = folder / "link.csv"
    if not path.is_file():
        raise ConfigError(f"{folder} has no link.csv, which tells whose DICOM folder is whose")
    with path.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    links = {}
    for row in rows:
        group, _, number = row["original_id"].rpartition("-")
        links[f"{group}-{int(number):02d}"] = row["patient_id"]
    return links


def _number(name: str) -> int:
    return int(name.split(".")[0].rpartition("-")[2])


def _by_place(pairs: Sequence[tuple[Slice, Frame]]) -> list[list[tuple[Slice, Frame]]]:
    groups: dict[float, list[tuple[Slice, Frame]]] = {}
    for pair in pairs:
        groups.setdefault(round(_place(pair[1][0]), 1), []).append(pair)
    return [groups[place] for place in sorted(groups)]


def _ends(group: Sequence[tuple[Slice, Frame]]) -> list[tuple[Slice, Frame]]:
    """Return a slice's diastole and systole; nothing where only one of them has a contour."""
    by_area = sorted(group, key=lambda pair: int(pair[0].mask.sum()))
    return [by_area[-1], by_area[0]] if len(by_area) > 1 else []


def _place(info: FrameInfo) -> float:
    place = slice_position_mm(info)
    if place is None:
        raise ConfigError("a frame has no ImagePositionPatient or ImageOrientationPatient")
    return place


def _cine_frame(info: FrameInfo, mask: Bytes, time_ms: float) -> CineFrame:
    pixel_mm2 = pixel_area(info.pixel_spacing)
    if pixel_mm2 is None:
        raise ConfigError("a frame has no usable PixelSpacing")
    return CineFrame(
        position_mm=_place(info),
        trigger_time_ms=time_ms,
        area_mm2=int(np.count_nonzero(mask)) * pixel_mm2,
        phases=info.cardiac_number_of_images or 0,
        slice_thickness_mm=info.slice_thickness,
    )


def _fraction(frames: Sequence[CineFrame], whose: str) -> tuple[float, int]:
    """Return the ejection fraction in percent, 0 where nothing was found, and the slices."""
    measured = measure_cine(frames)
    if measured is None:
        raise ConfigError(f"{whose}: there are not two phases to compare")
    return measured.ejection_fraction or 0.0, measured.slices


def _files(phantom: Phantom) -> Iterator[bytes]:
    for one in dicom_objects(phantom):
        buffer = io.BytesIO()
        one.save_as(buffer, enforce_file_format=True)
        yield buffer.getvalue()
