"""Measures of a cine study: the cavity's volume over the beat, and its ejection fraction.

Volume is area times the distance between slices along their normal (summation of discs, Simpson);
the phase of a frame is the rank of its TriggerTime within its slice. SliceLocation and
ImagesInAcquisition are not used: scanners fill them with other things.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from engine.messages import FrameRef, Result

SAME_SLICE_MM = 0.1


@dataclass(frozen=True, slots=True)
class CineMeasures:
    """Volumes in ml by phase, end-diastolic and end-systolic volume, ejection fraction in %."""

    volumes_ml: tuple[float, ...]
    slices: int

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


def measure_cine(results: Iterable[Result], label: str) -> CineMeasures | None:
    """Return the measures of one series; None when its geometry or its phases are not known.

    Slices that hold fewer phases than the fullest one are left out: a missing frame must not look
    like an empty cavity.
    """
    slices: dict[int, list[tuple[float, float]]] = {}
    frame: FrameRef | None = None
    for result in results:
        position = slice_position_mm(result.frame)
        trigger = result.frame.trigger_time
        if position is None or trigger is None:
            return None
        frame = result.frame
        key = round(position / SAME_SLICE_MM)
        slices.setdefault(key, []).append((trigger, _area_mm2(result, label)))
    if frame is None:
        return None
    phases = max(len(frames) for frames in slices.values())
    full = sorted(key for key, frames in slices.items() if len(frames) == phases)
    distance_mm = _distance_mm(full, frame)
    if phases < 2 or distance_mm is None:
        return None
    areas = np.array([[area for _, area in sorted(slices[key])] for key in full])
    volumes_ml = areas.sum(axis=0) * distance_mm / 1000
    return CineMeasures(tuple(float(volume) for volume in volumes_ml), len(full))


def slice_position_mm(frame: FrameRef) -> float | None:
    """Return the slice's place along its normal (PS3.3 C.7.6.2.1.1), None where not known."""
    if frame.image_position_patient is None or frame.image_orientation_patient is None:
        return None
    row, column = np.reshape(frame.image_orientation_patient, (2, 3))
    return float(np.dot(np.cross(row, column), frame.image_position_patient))


def _area_mm2(result: Result, label: str) -> float:
    return sum(found.area_mm2 or 0.0 for found in result.findings if found.label == label)


def _distance_mm(keys: list[int], frame: FrameRef) -> float | None:
    """Return the median distance between neighbours; a single slice counts its thickness."""
    if len(keys) > 1:
        return float(np.median(np.diff(keys))) * SAME_SLICE_MM
    return frame.slice_thickness
