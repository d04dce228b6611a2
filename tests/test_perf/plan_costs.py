"""Costs for tests of the planning: round numbers, of no machine."""

from __future__ import annotations

from typing import Any

from perf.plan.costs import SCHEMA, Costs, Point, Size

STAGES = {"fetch": 0.3, "decode": 0.2, "enhance": 1.0, "postprocess": 0.8, "infer": 12.0}


def point(**given: Any) -> Point:
    whole: dict[str, Any] = {
        "rate_hz": 4.0,
        "frames_per_batch": 1.0,
        "worker_ms": 6.5,
        "triton_ms": 13.0,
        "broker_ms": 3.0,
        "generator_ms": 0.5,
        "p50_ms": 30.0,
        "mean_ms": 30.0,
    }
    return Point(**(whole | given))


def costs(**given: Any) -> Costs:
    whole: dict[str, Any] = {
        "schema": SCHEMA,
        "machine": {"cpu": "none", "cores": 2, "load_before": 0.0},
        "commit": "none",
        "command": "none",
        "broker": "none",
        "model": "none",
        "max_batch": 8,
        "max_wait_ms": 10.0,
        "inflight_frames": 64,
        "small": Size(pixels=65_536, frame_bytes=90_000, stages_ms=STAGES),
        "large": Size(
            pixels=262_144,
            frame_bytes=350_000,
            stages_ms={name: 3 * ms for name, ms in STAGES.items()},
        ),
        "contention": 1.0,
        "batch_ms": {1: 13.0, 4: 43.0, 8: 80.0},
        "curve_ms": {1: 14.0, 4: 45.0, 8: 84.0},
        "idle": {"worker": 0.0, "triton": 0.0, "broker": 0.0},
        "light": point(),
        "full": point(
            rate_hz=50.0, frames_per_batch=8.0, worker_ms=3.0, broker_ms=2.0, p50_ms=None
        ),
        "spread": [1.0, 1.0],
        "result_bytes": 2_000,
        "hash_ms_per_mib": 0.7,
    }
    return Costs(**(whole | given))
