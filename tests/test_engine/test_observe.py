"""Metrics: each is documented, what is noted shows, and nothing that is noted harms a frame."""

from __future__ import annotations

import asyncio
import json
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import msgspec
import pytest
from outcomes import letter, published
from prometheus_client import generate_latest

from engine.errors import FrameError
from engine.ingest import intake
from engine.messages import ModelRef
from engine.metrics import BatchTimes, FrameLink, StageTimes
from engine.observe.gateway import GatewayNotes
from engine.observe.instruments import Instruments
from engine.observe.series import SeriesNotes
from engine.observe.table import LATENCY_S, TABLE
from engine.observe.worker import REASONS, WorkerNotes
from engine.series import AlertKind

CHECKOUT = Path(__file__).resolve().parents[2]
PAGE = (CHECKOUT / "docs" / "metrics.md").read_text()
DASHBOARD = CHECKOUT / "deploy" / "grafana" / "scanstream.json"
METRICS = [metric for role in TABLE.values() for metric in role]
NAMES = {metric.name for metric in METRICS}
MODEL = ModelRef(name="cine", version="3", digest="d" * 64, precision="int8")
# what a label may say: from the code or the settings, and few
LABELS = {"lane", "status", "stage", "reason", "model", "state", "version", "precision", "kind"}


def shown(instruments: Instruments) -> dict[str, float]:
    """Return every sample that a scrape sees, by `name{labels}`."""
    lines = generate_latest(instruments.registry).decode().splitlines()
    pairs = (line.rpartition(" ") for line in lines if not line.startswith("#"))
    return {name: float(value) for name, _, value in pairs}


@pytest.mark.parametrize("metric", METRICS, ids=lambda one: one.name)
def test_a_metric_is_documented_with_its_kind_and_labels(metric: Any) -> None:
    row = f"| `{metric.name}` | {metric.kind} | {', '.join(metric.labels)} |"
    assert row.replace("|  |", "| |") in PAGE


def test_what_is_documented_exists() -> None:
    assert set(re.findall(r"^\| `(scanstream_\w+)` \|", PAGE, re.MULTILINE)) == NAMES


def test_nothing_is_shown_that_is_not_documented() -> None:
    kinds = {one.name: one.kind for one in METRICS}
    for role in TABLE:
        for sample in shown(Instruments(role)):
            name = re.sub("_(bucket|sum|count)$", "", sample.partition("{")[0])
            assert name.startswith("process_") or kinds[name] == "histogram" or name == sample


def test_names_and_labels_keep_prometheus_conventions() -> None:
    assert len(NAMES) == len(METRICS)
    for metric in METRICS:
        assert (metric.kind == "counter") == metric.name.endswith("_total")
        assert bool(metric.buckets) == (metric.kind == "histogram")
        assert not re.search(r"_(ms|us|ns|mib|minutes)(_|$)", metric.name)
        assert set(metric.labels) <= LABELS


def test_a_published_result_shows() -> None:
    made = Instruments("worker")
    notes = WorkerNotes("bulk", made, None)
    one = published(
        lane="bulk",
        model=MODEL,
        stages_ms={"transport": 20.0, "infer": 60.0},
        accepted_ns=1_000_000_000,
        published_ns=1_080_000_000,
        deadline_ms=1_050,
    )
    notes.published(one)
    found = shown(made)
    assert found['scanstream_frames_total{lane="bulk",status="ok"}'] == 1
    assert found['scanstream_frames_total{lane="bulk",status="degraded"}'] == 0
    assert found['scanstream_frame_latency_seconds_sum{lane="bulk"}'] == pytest.approx(0.08)
    assert found['scanstream_frame_latency_seconds_bucket{lane="bulk",le="0.1"}'] == 1
    assert found['scanstream_frame_latency_seconds_bucket{lane="bulk",le="0.075"}'] == 0
    assert found['scanstream_stage_seconds_sum{lane="bulk",stage="infer"}'] == pytest.approx(0.06)
    assert found['scanstream_stage_seconds_count{lane="bulk",stage="decode"}'] == 0
    assert found['scanstream_deadline_missed_total{lane="bulk"}'] == 1


def test_the_version_that_answered_last_is_the_only_one_shown() -> None:
    made = Instruments("worker")
    notes = WorkerNotes("bulk", made, None)
    other = ModelRef(name="other", version="1", digest="e" * 64, precision="fp32")
    for model in (MODEL, other, msgspec.structs.replace(MODEL, version="4")):
        notes.published(published(model=model))
    info = {name for name in shown(made) if name.startswith("scanstream_model_info")}
    assert info == {
        'scanstream_model_info{model="cine",precision="int8",version="4"}',
        'scanstream_model_info{model="other",precision="fp32",version="1"}',
    }


def test_dead_letters_and_batches_show() -> None:
    made = Instruments("worker")
    notes = WorkerNotes("stat", made, None)
    notes.published(letter())
    notes.batch(BatchTimes("cine", (FrameLink("", "a/1"),) * 5, 1, 2))
    found = shown(made)
    assert found['scanstream_frames_total{lane="stat",status="dead-letter"}'] == 1
    assert found['scanstream_dead_letters_total{reason="decode-failed"}'] == 1
    assert found['scanstream_batch_size_sum{model="cine"}'] == 5


@dataclass
class Held:
    bytes: int = 7
    frames: int = 2
    max_bytes: int = 100


@dataclass
class Model:
    state: Literal["closed", "open", "half-open"] = "open"


def test_what_is_held_is_read_at_every_scrape() -> None:
    made = Instruments("worker")
    held, model, oldest = Held(), Model(), [time.time_ns() - 3_000_000_000]
    WorkerNotes("bulk", made, None).watch(
        held,
        {"cine": model},
        oldest_ns=lambda: oldest[0] if oldest else None,
        holding=lambda: model.state != "closed",
    )
    age = 'scanstream_oldest_unacknowledged_seconds{lane="bulk"}'
    found = shown(made)
    assert found["scanstream_inflight_bytes"] == 7
    assert found[age] == pytest.approx(3, abs=1)
    assert found["scanstream_holding"] == 1
    assert found['scanstream_triton_state{model="cine",state="open"}'] == 1
    held.bytes, model.state = 9, "closed"
    oldest.clear()
    found = shown(made)
    assert found["scanstream_inflight_bytes"] == 9
    assert found[age] == 0
    assert found['scanstream_triton_state{model="cine",state="open"}'] == 0
    assert found['scanstream_triton_state{model="cine",state="closed"}'] == 1


def test_the_gateway_counts_what_it_answers() -> None:
    made = Instruments("gateway")
    notes = GatewayNotes(made)
    notes.stored("stat", 100, 0.01, "")
    notes.stored("bulk", 50, 0.01, "cannot-understand")
    found = shown(made)
    assert found['scanstream_gateway_objects_total{lane="stat"}'] == 1
    assert found['scanstream_gateway_refused_total{reason="cannot-understand"}'] == 1
    assert found['scanstream_gateway_objects_total{lane="bulk"}'] == 0
    assert found["scanstream_gateway_bytes_total"] == 150


def test_a_clock_behind_the_gateways_makes_no_sum_fall() -> None:
    made = Instruments("worker")
    notes = WorkerNotes("bulk", made, None)
    notes.published(published(lane="bulk", accepted_ns=2_000_000_000, published_ns=1_000_000_000))
    assert shown(made)['scanstream_frame_latency_seconds_sum{lane="bulk"}'] == 0


def test_what_is_rare_is_there_before_it_happens() -> None:
    """A series that begins with its first event has no increase: an alert would miss that one."""
    worker, gateway, series = Instruments("worker"), Instruments("gateway"), Instruments("series")
    WorkerNotes("bulk", worker, None)
    GatewayNotes(gateway)
    SeriesNotes(series).watch(lambda: 0, get_args(AlertKind))
    found = shown(worker) | shown(gateway) | shown(series)
    topics = (CHECKOUT / "docs" / "topics.md").read_text()
    (reasons,) = re.findall(r"^`reason` is a constant: (.*?)\. `message`", topics, re.MULTILINE)
    kinds = [FrameError, *FrameError.__subclasses__()]
    assert set(re.findall(r"`([\w-]+)`", reasons)) == set(REASONS) >= {one.reason for one in kinds}
    for reason in REASONS:
        assert found[f'scanstream_dead_letters_total{{reason="{reason}"}}'] == 0
    for refusal in intake.REASONS.values():
        assert found[f'scanstream_gateway_refused_total{{reason="{refusal}"}}'] == 0
    for kind in get_args(AlertKind):
        assert found[f'scanstream_series_alerts_total{{kind="{kind}"}}'] == 0


def test_a_note_that_fails_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    notes = WorkerNotes("bulk", Instruments("worker"), None)
    broken = published(stages_ms={"infer": None})
    notes.published(broken)
    assert [one.getMessage() for one in caplog.records] == [
        "WorkerNotes.published was not noted: TypeError"
    ]


def test_notes_that_are_off_note_nothing() -> None:
    notes = WorkerNotes("bulk", None, None)
    notes.published(published())
    notes.published(letter())
    notes.batch(BatchTimes("cine", (), 1, 2))
    notes.watch(Held(), {}, oldest_ns=lambda: None, holding=lambda: False)
    GatewayNotes().stored("bulk", 1, 0.1, "")


async def test_a_stage_knows_when_it_began() -> None:
    times = StageTimes()
    before_ns = time.time_ns()
    with times.stage("decode"):
        await asyncio.sleep(0)
    times.add("batch", 30.0, ended_ms_ago=50.0)
    after_ns = time.time_ns()
    assert before_ns - 1e6 <= times.began_ns["decode"] <= after_ns
    assert times.began_ns["batch"] == pytest.approx(after_ns - 80e6, abs=20e6)


def expressions() -> list[str]:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel.get("targets", ())]


@pytest.mark.parametrize("expression", expressions())
def test_the_dashboard_asks_for_what_exists(expression: str) -> None:
    asked = set(re.findall(r"\b(?:scanstream|nv|process)_\w+", expression))
    assert asked, "the panel asks for nothing"
    histograms = {one.name for one in METRICS if one.kind == "histogram"}
    parts = {f"{name}_{part}" for name in histograms for part in ("bucket", "sum", "count")}
    known = (NAMES - histograms) | parts
    assert all(name in known or name.startswith(("nv_", "process_")) for name in asked)
    bounds = {str(bound) for bound in LATENCY_S}
    assert set(re.findall(r'le="([^"]+)"', expression)) <= bounds


def test_the_dashboard_shows_every_metric_and_fits_together() -> None:
    asked = " ".join(expressions())
    assert all(name in asked for name in NAMES)
    panels = json.loads(DASHBOARD.read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        (panel["gridPos"]["x"] + x, panel["gridPos"]["y"] + y)
        for panel in panels
        for x in range(panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["h"])
    ]
    assert len(set(cells)) == len(cells), "two panels share a place"
    assert max(x for x, _ in cells) < 24
