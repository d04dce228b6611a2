"""Results for tests, straight from numbers."""

from __future__ import annotations

from typing import Literal

from engine.messages import Finding, FrameRef, Result


def result(number: int, status: Literal["ok", "degraded", "unrouted"], published_ns: int) -> Result:
    """Return the result of frame `number`, published that many milliseconds after its receipt."""
    frame = FrameRef(
        id=f"1.2/{number}",
        subject="",
        study_instance_uid="1",
        series_instance_uid="1.1",
        sop_instance_uid="1.2",
        sop_class_uid="1.3",
        frame_number=number,
        modality="MR",
        rows=4,
        columns=4,
    )
    finding = Finding(label="lv", pixels=3, area_mm2=120.4, centroid=(1, 1), confidence=0.987)
    return Result(
        id=f"{number:032x}",
        frame=frame,
        route="cine",
        lane="bulk",
        status=status,
        findings=[finding] if status == "ok" else [],
        accepted_ns=published_ns - number * 1_000_000,
        deadline_ms=0,
        published_ns=published_ns,
        traceparent="",
    )
