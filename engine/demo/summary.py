"""`summary.json`: what the run did, in the shape that other programs rely on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from engine.messages import DeadLetter, Result
from engine.metrics import STAGES
from engine.postprocess.cine import CineMeasures, cine_frame, measure_cine


def by_series(results: Sequence[Result]) -> dict[str, list[Result]]:
    """Return the results that a model answered, by SeriesInstanceUID, in order of arrival."""
    series: dict[str, list[Result]] = defaultdict(list)
    for result in results:
        if result.model is not None:
            series[result.frame.series_instance_uid].append(result)
    return dict(series)


def measures(results: Sequence[Result]) -> dict[str, CineMeasures]:
    """Return the cine measures of every series that has them."""
    found = {}
    for name, ones in by_series(results).items():
        frames = [frame for frame in map(cine_frame, ones) if frame is not None]
        if (measure := measure_cine(frames)) is not None:
            found[name] = measure
    return found


def summarise(
    results: Sequence[Result],
    dead_letters: Sequence[DeadLetter],
    expected: Mapping[str, float],
    *,
    frames: int,
    objects: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the summary; latency is from accepted by the gateway to published by the worker."""
    latency_ms = [(one.published_ns - one.accepted_ns) / 1e6 for one in results]
    models = sorted({f"{one.model.name} {one.model.version}" for one in results if one.model})
    precisions = sorted({one.model.precision for one in results if one.model})
    return {
        "frames": frames,
        "results": len(results),
        "dead_letters": len(dead_letters),
        "dead_letters_on_phantom": _on_known_series(dead_letters, expected),
        "frames_per_second": round(_rate(results), 2),
        "latency_ms": {"p50": _percentile(latency_ms, 50), "p99": _percentile(latency_ms, 99)},
        "stages_ms": stage_means(results),
        "series": [
            {
                "series": name,
                "ejection_fraction": _rounded(measure.ejection_fraction),
                "expected": expected.get(name),
                "slices": measure.slices,
                "volumes_ml": [round(volume, 2) for volume in measure.volumes_ml],
            }
            for name, measure in measures(results).items()
            if measure.ejection_fraction is not None
        ],
        "statuses": {
            status: sum(one.status == status for one in results)
            for status in ("ok", "degraded", "unrouted")
        },
        "objects": dict(objects),
        "models": models,
        "precisions": precisions,
    }


def stage_means(results: Sequence[Result]) -> dict[str, float]:
    """Return the mean milliseconds of each stage over the frames that a model answered."""
    answered = [one.stages_ms for one in results if one.model is not None]
    if not answered:
        return {}
    return {
        stage: round(float(np.mean([ms.get(stage, 0.0) for ms in answered])), 3) for stage in STAGES
    }


def _on_known_series(dead_letters: Sequence[DeadLetter], expected: Mapping[str, float]) -> int:
    known = [one for one in dead_letters if one.frame is not None]
    return sum(one.frame is not None and one.frame.series_instance_uid in expected for one in known)


def _rate(results: Sequence[Result]) -> float:
    """Return results a second, from the first frame accepted to the last result published."""
    if not results:
        return 0.0
    first = min(one.accepted_ns for one in results)
    last = max(one.published_ns for one in results)
    return len(results) / max((last - first) / 1e9, 1e-9)


def _percentile(values: Sequence[float], percent: float) -> float:
    return round(float(np.percentile(values, percent)), 2) if values else 0.0


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)
