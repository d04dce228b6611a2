"""The series that are being measured: what has come, what is due, what has expired. Pure.

The time is passed in (Unix seconds), so the same code serves a live stream, a rebuilt table and a
test. A frame is kept under its series, route and run and its own id: a repeat changes nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec

from engine.messages import Result
from engine.novelty import OUT_OF_DISTRIBUTION
from engine.postprocess.cine import CineMeasures, measure_cine
from engine.series import Alert, AlertKind, CineFrame, SeriesMeasures

SETTLE_S = 2.0  # a full grid still grows while the next slice is coming in
LEAST_SLICES = 5  # fewer are a part of a heart, whose volume says nothing
VOLUME_ML = (10.0, 600.0)  # of a left ventricle at end diastole, from an infant's to a failing one
LARGEST_STEP = 0.35  # of the end-diastolic volume, between neighbouring phases


@dataclass(frozen=True, slots=True)
class SeriesKey:
    """What one record of measures is about. `partition` is that of the results topic."""

    study: str
    series: str
    route: str
    run: str
    partition: int

    @classmethod
    def of(cls, result: Result, partition: int) -> SeriesKey:
        """Return the key of a result's series."""
        frame = result.frame
        return cls(
            frame.study_instance_uid, frame.series_instance_uid, result.route, result.run, partition
        )


@dataclass(slots=True)
class _Entry:
    frames: dict[str, CineFrame] = field(default_factory=dict)
    changed_s: float = 0.0
    published: str = ""  # the id of the record that is out


class SeriesBook:
    """Frames by series, and when each series is to be measured.

    A series is due when it has changed and either its grid of slices and phases is full and
    nothing came for `SETTLE_S`, or nothing came for `quiet_s`. It is forgotten after `expiry_s`.
    """

    def __init__(self, *, quiet_s: float, expiry_s: float) -> None:
        self.quiet_s = quiet_s
        self.expiry_s = expiry_s
        # By partition, each in the order of the last change: the oldest is the first to expire.
        self._entries: dict[int, dict[SeriesKey, _Entry]] = {}
        self._dirty: dict[SeriesKey, None] = {}

    def __len__(self) -> int:
        return sum(map(len, self._entries.values()))

    def add(self, key: SeriesKey, frame_id: str, frame: CineFrame, now_s: float) -> bool:
        """Keep one frame; return whether anything changed."""
        entries = self._entries.setdefault(key.partition, {})
        entry = entries.get(key, _Entry())
        if entry.frames.get(frame_id) == frame:
            return False
        entry.frames[frame_id] = frame
        entry.changed_s = now_s
        entries.pop(key, None)
        entries[key] = entry
        self._dirty[key] = None
        return True

    def due(self, now_s: float) -> list[tuple[SeriesKey, SeriesMeasures]]:
        """Return the measures to be published now; call `published` once each is confirmed."""
        found = []
        for key in list(self._dirty):
            entry = self._entries[key.partition][key]
            waited_s = now_s - entry.changed_s
            if waited_s < min(SETTLE_S, self.quiet_s):
                continue
            measured = measure_cine(entry.frames.values())
            if waited_s < self.quiet_s and (measured is None or not measured.full):
                continue
            record = None if measured is None else _record(key, entry, measured, now_s)
            if record is None or record.id == entry.published:
                del self._dirty[key]
            else:
                found.append((key, record))
        return found

    def published(self, key: SeriesKey, record_id: str) -> None:
        """Note that the broker has confirmed a series' record."""
        entry = self._entries.get(key.partition, {}).get(key)
        if entry is not None:
            entry.published = record_id
            self._dirty.pop(key, None)

    def expired(self, partition: int, now_s: float) -> Iterator[tuple[SeriesKey, list[str]]]:
        """Forget, and yield with their frames' ids, the series of a partition that are too old."""
        entries = self._entries.get(partition, {})
        while entries:
            key, entry = next(iter(entries.items()))
            if now_s - entry.changed_s < self.expiry_s or key in self._dirty:
                return
            del entries[key]
            yield key, list(entry.frames)

    def forget(self) -> None:
        """Forget everything: other workers may own the partitions now."""
        self._entries.clear()
        self._dirty.clear()


def alerts_of(record: SeriesMeasures, *, lowest_ejection_fraction: float) -> Iterator[Alert]:
    """Yield what cannot wait in a series' measures."""
    found = record.ejection_fraction
    if found is not None and found < lowest_ejection_fraction:
        text = "the ejection fraction (%) is below the limit"
        yield _alert(record, "low-ejection-fraction", (found, lowest_ejection_fraction), text)
    for value, limit, text in _implausible(record):
        yield _alert(record, "implausible-phase-curve", (value, limit), text)


def frame_alerts(result: Result) -> Iterator[Alert]:
    """Yield what cannot wait in one frame's result."""
    if OUT_OF_DISTRIBUTION in result.quality:
        yield Alert(
            id=hashlib.sha256(f"{result.id}\n{OUT_OF_DISTRIBUTION}".encode()).hexdigest()[:32],
            kind=OUT_OF_DISTRIBUTION,
            study_instance_uid=result.frame.study_instance_uid,
            series_instance_uid=result.frame.series_instance_uid,
            frame=result.frame,
            route=result.route,
            run=result.run,
            value=result.features.get("novelty", 0.0),
            limit=0.0,
            message="the frame is outside the range that the model was trained on",
            published_ns=result.published_ns,
        )


def _implausible(record: SeriesMeasures) -> Iterator[tuple[float, float, str]]:
    volumes = CineMeasures(tuple(record.volumes_ml), record.slices, record.complete)
    low, high = VOLUME_ML
    if not record.complete or record.slices < LEAST_SLICES:
        return
    if volumes.edv_ml < low:
        yield volumes.edv_ml, low, "the end-diastolic volume (ml) is too small for a heart"
    if volumes.edv_ml > high:
        yield volumes.edv_ml, high, "the end-diastolic volume (ml) is too large for a heart"
    if volumes.largest_step > LARGEST_STEP:
        step = volumes.largest_step
        yield step, LARGEST_STEP, "the volume jumps between neighbouring phases (share of EDV)"


def _record(key: SeriesKey, entry: _Entry, measured: CineMeasures, now_s: float) -> SeriesMeasures:
    content = msgspec.json.encode((key.series, key.route, key.run, sorted(entry.frames.items())))
    known = hashlib.sha256(content)
    return SeriesMeasures(
        id=known.hexdigest()[:32],
        study_instance_uid=key.study,
        series_instance_uid=key.series,
        route=key.route,
        run=key.run,
        complete=measured.full,
        frames=len(entry.frames),
        slices=measured.slices,
        volumes_ml=[round(volume, 3) for volume in measured.volumes_ml],
        end_diastolic_volume_ml=round(measured.edv_ml, 3),
        end_systolic_volume_ml=round(measured.esv_ml, 3),
        ejection_fraction=_rounded(measured.ejection_fraction),
        quality=[] if measured.full else ["incomplete-grid"],
        published_ns=int(now_s * 1e9),
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def _alert(
    record: SeriesMeasures, kind: AlertKind, crossed: tuple[float, float], message: str
) -> Alert:
    value, limit = crossed
    known = hashlib.sha256(f"{record.id}\n{kind}\n{message}".encode())
    return Alert(
        id=known.hexdigest()[:32],
        kind=kind,
        study_instance_uid=record.study_instance_uid,
        series_instance_uid=record.series_instance_uid,
        route=record.route,
        run=record.run,
        value=round(value, 3),
        limit=limit,
        message=message,
        published_ns=record.published_ns,
    )
