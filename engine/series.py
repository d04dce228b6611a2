"""The records about a whole series: its measures, and what cannot wait."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, field

from engine.messages import FrameRef, NonNegative, Positive, Record

SERIES = "scanstream.series"
ALERTS = "scanstream.alerts"

AlertKind = Literal["low-ejection-fraction", "implausible-phase-curve", "out-of-distribution"]


class CineFrame(Record, frozen=True, kw_only=True):
    """What measuring a cine study keeps of one result: place, phase and area.

    `phases` is CardiacNumberOfImages, 0 where it is not known.
    """

    position_mm: float
    trigger_time_ms: float
    area_mm2: Annotated[float, Meta(ge=0)]
    phases: NonNegative
    slice_thickness_mm: float | None = None


class SeriesMeasures(Record, frozen=True, kw_only=True):
    """The measures of one series. A later record of the same series, route and run replaces it.

    `id` is a hash of what was measured: a repeat carries the same id, a change another. Volumes
    are in ml, one a phase; `ejection_fraction` is in %. `complete` when every slice had every
    phase; else it was measured after a quiet time.
    """

    schema: Literal["scanstream.series.v1"] = "scanstream.series.v1"
    id: str
    study_instance_uid: str
    series_instance_uid: str
    route: str
    run: str = ""
    complete: bool
    frames: Positive
    slices: Positive
    volumes_ml: list[float]
    end_diastolic_volume_ml: float
    end_systolic_volume_ml: float
    ejection_fraction: float | None
    quality: list[str] = field(default_factory=list)
    published_ns: NonNegative


class Alert(Record, frozen=True, kw_only=True):
    """What cannot wait. `value` crossed `limit`; `frame` is set where one frame is meant."""

    schema: Literal["scanstream.alert.v1"] = "scanstream.alert.v1"
    id: str
    kind: AlertKind
    study_instance_uid: str
    series_instance_uid: str
    frame: FrameRef | None = None
    route: str
    run: str = ""
    value: float
    limit: float
    message: str
    published_ns: NonNegative
