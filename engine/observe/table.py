"""Every metric: its name, kind, labels and meaning. `docs/metrics.md` is checked against it.

Names follow Prometheus' conventions (base units, `_total` on counters). A label's values are few
and come from the code or from the settings: no UID, no AE title and nothing of a patient.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Role = Literal["worker", "gateway", "series"]
Kind = Literal["counter", "gauge", "histogram"]

# 100 ms and 1 s are objectives, so that the share below them is exact.
LATENCY_S = (
    *(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0),
)
FRAMES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)


class Metric(NamedTuple):
    """One metric; `buckets` are a histogram's upper bounds, in the unit of its name."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    says: str
    buckets: tuple[float, ...] = ()


WORKER = (
    Metric(
        "scanstream_frames_total",
        "counter",
        ("lane", "status"),
        "Frames whose result or dead letter the broker has confirmed",
    ),
    Metric(
        "scanstream_frame_latency_seconds",
        "histogram",
        ("lane",),
        "From accepted by the gateway to published",
        LATENCY_S,
    ),
    Metric(
        "scanstream_stage_seconds",
        "histogram",
        ("stage", "lane"),
        "Time of a frame in each stage; the stages add up to its latency",
        LATENCY_S,
    ),
    Metric(
        "scanstream_deadline_missed_total",
        "counter",
        ("lane",),
        "Results published after the frame's deadline",
    ),
    Metric(
        "scanstream_dead_letters_total",
        "counter",
        ("reason",),
        "Frames that could not be done",
    ),
    Metric(
        "scanstream_batch_size",
        "histogram",
        ("model",),
        "Frames in the batches that Triton has answered",
        FRAMES,
    ),
    Metric(
        "scanstream_inflight_bytes",
        "gauge",
        (),
        "Encoded and decoded bytes of the frames taken and not acknowledged",
    ),
    Metric(
        "scanstream_inflight_frames",
        "gauge",
        (),
        "Frames taken and not acknowledged",
    ),
    Metric(
        "scanstream_inflight_limit_bytes",
        "gauge",
        (),
        "Setting `inflight_bytes`",
    ),
    Metric(
        "scanstream_oldest_unacknowledged_seconds",
        "gauge",
        ("lane",),
        "Age, since its acceptance, of the oldest frame taken and not acknowledged; 0 with none",
    ),
    Metric(
        "scanstream_holding",
        "gauge",
        (),
        "1 while the worker holds everything because a server is away",
    ),
    Metric(
        "scanstream_triton_state",
        "gauge",
        ("model", "state"),
        "1 for the state of the model's circuit breaker: closed (answers), open, half-open",
    ),
    Metric(
        "scanstream_model_info",
        "gauge",
        ("model", "version", "precision"),
        "1 for the version that answered last",
    ),
)

GATEWAY = (
    Metric(
        "scanstream_gateway_objects_total",
        "counter",
        ("lane",),
        "Objects acknowledged with 0x0000: stored and published",
    ),
    Metric(
        "scanstream_gateway_refused_total",
        "counter",
        ("reason",),
        "Objects answered with a failure status",
    ),
    Metric(
        "scanstream_gateway_frames_total",
        "counter",
        ("lane",),
        "Frames that the broker has confirmed",
    ),
    Metric(
        "scanstream_gateway_bytes_total",
        "counter",
        (),
        "Bytes of the data sets received, refused ones too",
    ),
    Metric(
        "scanstream_gateway_store_seconds",
        "histogram",
        (),
        "From a C-STORE request received whole to its answer",
        LATENCY_S,
    ),
    Metric(
        "scanstream_gateway_associations",
        "gauge",
        (),
        "Associations that are open",
    ),
    Metric(
        "scanstream_gateway_inflight_bytes",
        "gauge",
        (),
        "Bytes of the objects that are being received and accepted over DICOM",
    ),
)

SERIES = (
    Metric(
        "scanstream_series_results_total",
        "counter",
        (),
        "Results read, repeats too, whether or not there was something to measure",
    ),
    Metric(
        "scanstream_series_published_total",
        "counter",
        (),
        "Measures of series published, repeats too",
    ),
    Metric(
        "scanstream_series_alerts_total",
        "counter",
        ("kind",),
        "Alerts published, repeats too",
    ),
    Metric(
        "scanstream_series_open",
        "gauge",
        (),
        "Series that are remembered",
    ),
)

TABLE: dict[Role, tuple[Metric, ...]] = {"worker": WORKER, "gateway": GATEWAY, "series": SERIES}
