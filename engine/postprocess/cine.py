"""Measures of a cine study: the cavity's volume over the beat, and its ejection fraction.

Volume is area times the distance between slices along their normal (summation of discs, Simpson);
the phase of a frame is the rank of its TriggerTime within its slice. SliceLocation and
ImagesInAcquisition are not used: scanners fill them with other things.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from engine.messages import FrameInfo, FrameRef, Result
from engine.series import CineFrame

SAME_SLICE_MM = 0.1
CAVITY = "left-ventricle-cavity"


@dataclass(frozen=True, slots=True)
class CineMeasures:
    """Volumes in ml by phase; `slices` were summed, `full` when every slice had every phase."""

    volumes_ml: tuple[float, ...]
    slices: int
    full: bool

    @property
    def edv_ml(self) -> float:
        """End-diastolic volume: the largest."""
        return max(self.volumes_ml)

    @property
    def esv_ml(self) -> float:
        """End-systolic volume: the smallest."""
        return min(self.volumes_ml)

    @property
    def ejection_fraction(self) -> float | None:
        """What of the end-diastolic volume is ejected, in %; None without any cavity."""
        return 100 * (1 - self.esv_ml / self.edv_ml) if self.edv_ml > 0 else None

    @property
    def largest_step(self) -> float:
        """The largest change from one phase to the next, as a share of the end-diastolic volume.

        A beating heart's volume is continuous; a segmentation that fails on one phase is not.
        """
        beat = np.array([*self.volumes_ml, self.volumes_ml[0]])
        return float(np.abs(np.diff(beat)).max() / self.edv_ml) if self.edv_ml > 0 else 0.0


def cine_frame(result: Result) -> CineFrame | None:
    """Return what measuring needs of a result; None where its place or phase is not known."""
    position = slice_position_mm(result.frame)
    if result.model is None or position is None or result.frame.trigger_time is None:
        return None
    found = [one for one in result.findings if one.label == CAVITY]
    return CineFrame(
        position_mm=position,
        trigger_time_ms=result.frame.trigger_time,
        area_mm2=math.fsum(one.area_mm2 or 0.0 for one in found),
        phases=result.frame.cardiac_number_of_images or 0,
        slice_thickness_mm=result.frame.slice_thickness,
    )


def measure_cine(frames: Iterable[CineFrame]) -> CineMeasures | None:
    """Return the measures of one series; None when there are not two phases to compare.

    Slices that hold fewer phases than the fullest one are left out: a missing frame must not look
    like an empty cavity.
    """
    slices: dict[int, list[CineFrame]] = {}
    for frame in frames:
        slices.setdefault(round(frame.position_mm / SAME_SLICE_MM), []).append(frame)
    if not slices:
        return None
    phases = max(len(ones) for ones in slices.values())
    kept = {key: ones for key, ones in sorted(slices.items()) if len(ones) == phases}
    first = next(iter(kept.values()))[0]
    distance_mm = _distance_mm(list(kept), first)
    if phases < 2 or distance_mm is None:
        return None
    in_order = [sorted(ones, key=lambda one: one.trigger_time_ms) for ones in kept.values()]
    areas = np.array([[one.area_mm2 for one in ones] for ones in in_order])
    volumes_ml = areas.sum(axis=0) * distance_mm / 1000
    full = len(kept) == len(slices) and phases == first.phases
    return CineMeasures(tuple(float(volume) for volume in volumes_ml), len(kept), full)


def slice_position_mm(frame: FrameRef | FrameInfo) -> float | None:
    """Return the slice's place along its normal (PS3.3 C.7.6.2.1.1), None where not known."""
    if frame.image_position_patient is None or frame.image_orientation_patient is None:
        return None
    row, column = np.reshape(frame.image_orientation_patient, (2, 3))
    return float(np.dot(np.cross(row, column), frame.image_position_patient))


def _distance_mm(keys: list[int], frame: CineFrame) -> float | None:
    """Return the median distance between neighbours; a single slice counts its thickness."""
    if len(keys) > 1:
        return float(np.median(np.diff(keys))) * SAME_SLICE_MM
    return frame.slice_thickness_mm
