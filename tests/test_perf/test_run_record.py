"""Judging a run, gathering its parts, and the record as other programs read it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from engine.metrics import STAGES
from perf.baselines import decode as codecs
from perf.load import trip as trips
from perf.load.generator import Outcome
from perf.load.recorder import Histogram, Summary, nanoseconds
from perf.load.target import Answer
from perf.load.trip import Trip
from perf.run import gather, notes, record, terminal
from perf.run.record import Bucket, GeneratorCost, RecordUnreadable, RunRecord, Verdict
from perf.run.slo import Burn, Goodput, Objective, judged, judged_goodput

P99 = Objective(scenario="calm", percentile=99, limit_ms=100.0)


def trip(due_s: float = 0.0, latency_ms: float | None = 10.0, **given: Any) -> Trip:
    status = "" if latency_ms is None else "ok"
    whole: dict[str, Any] = {
        "due_s": due_s,
        "due_ns": 0,
        "lane": "bulk",
        "bytes": 10,
        "status": status,
    }
    return Trip(**(whole | {"latency_ms": latency_ms, "status": status} | given))


def run_record(**given: Any) -> RunRecord:
    summary = Summary.of(Histogram([nanoseconds(0.01)] * 10))
    whole: dict[str, Any] = {
        "scenario": "calm",
        "command": "python -m perf run calm",
        "commit": "unknown",
        "machine": {"cores": 2},
        "broker": "given",
        "started": "2026-11-23T20:00:00+00:00",
        "seed": 1,
        "seconds": 1.0,
        "rate_hz": 10.0,
        "answered_hz": 10.0,
        "sent": 10,
        "answered": 10,
        "lost": 0,
        "statuses": {"ok": 10},
        "latency_ms": summary,
        "lag_ms": summary,
        "generator": GeneratorCost(
            cpu_ms=0.1, lag_p99_ms=0.1, was_bottleneck=False, null_cpu_ms=None
        ),
    }
    return RunRecord(**(whole | given))


@pytest.mark.parametrize(("late", "met", "burn"), [(0, True, 0.0), (1, True, 1.0), (2, False, 2.0)])
def test_an_objective_is_met_while_its_error_budget_lasts(
    late: int, met: bool, burn: float
) -> None:
    trips = [trip(latency_ms=500.0 if n < late else 10.0) for n in range(100)]
    (one,) = judged([P99], trips)
    assert (one.met, one.burn_rate, one.name) == (met, burn, "bulk p99 <= 100 ms")
    assert one.observed_ms == (500.0 if late > 1 else 10.0)


@pytest.mark.parametrize("bad", [{"latency_ms": None}, {"status": "dead-letter"}])
def test_a_frame_without_a_result_is_bad_whatever_its_time(bad: dict[str, Any]) -> None:
    (one,) = judged([P99], [trip(), trip(**bad)])
    assert not one.met
    assert one.burn_rate == 50.0
    assert (one.observed_ms is None) == ("latency_ms" in bad)


def test_a_lane_is_judged_alone_and_one_without_frames_has_missed() -> None:
    stat = msgspec.structs.replace(P99, lane="stat")
    trips = [trip(), trip(lane="stat", latency_ms=500.0)]
    assert [one.met for one in judged([P99, stat], trips)] == [True, False]
    (none,) = judged([stat], [trip()])
    assert (none.met, none.observed_ms, none.burn_rate) == (False, None, None)


def test_each_kind_has_its_own_latencies() -> None:
    trips = [trip(kind="cine"), trip(kind="ct", latency_ms=500.0), trip(kind="ct", latency_ms=None)]
    found = gather.kinds([*trips, trip()])
    assert {kind: one.count for kind, one in found.items()} == {"cine": 1, "ct": 1}
    assert found["ct"].max == 500.0
    shown = terminal.text(run_record(kinds=found))
    assert "ct: p50 500.0" in shown


def test_a_budget_that_is_spent_at_once_burns_fast() -> None:
    """1,000 frames in 100 s, ten of them late: p99 is met, unless all ten were in one second."""
    objective = msgspec.structs.replace(P99, burn=Burn(window_s=5.0, limit=14.4))
    spread = [trip(n / 10, 500.0 if n % 100 == 50 else 10.0) for n in range(1000)]
    at_once = [trip(n / 10, 500.0 if 500 <= n < 510 else 10.0) for n in range(1000)]
    assert [one.met for one in judged([objective], spread)] == [True, True]
    calm, burnt = judged([objective], at_once)
    assert (calm.met, burnt.met) == (True, False)
    assert burnt.burn_rate == pytest.approx(10 / 51 / 0.01, abs=1e-3)
    assert burnt.name.startswith(calm.name)


@pytest.mark.parametrize(
    ("offered_hz", "answered", "dead", "met", "share"),
    [
        (300.0, 900, 0, True, 0.9),
        (300.0, 900, 1, False, 0.899),
        (300.0, 500, 0, False, 0.5),
        (50.0, 500, 0, True, 1.0),  # no more was offered
    ],
)
def test_goodput_is_results_a_second_of_the_highest_rate(
    offered_hz: float, answered: int, dead: int, met: bool, share: float
) -> None:
    """In 10 s, with 100 frames a second as the highest rate."""
    summary = Summary.of(Histogram([1]))
    ran = Outcome(
        sent=answered,
        answered=answered,
        seconds=10.0,
        rate_hz=answered / 10,
        latency_ms=summary,
        lag_ms=summary,
        statuses={"degraded": answered - dead, "dead-letter": dead},
        cpu_s=0.0,
    )
    asked = Goodput("overload", 0.9)
    found = judged_goodput(asked, ran, offered_hz=offered_hz, highest_hz=100.0)
    assert found.met == met
    assert found.share == pytest.approx(share)
    record = run_record(objectives=[found])
    assert (record.met, record.limits) == (met, [])
    word = "met   " if met else "MISSED"
    assert terminal.verdict(found).startswith(f"{word}  goodput >= 90 % of the highest rate: ")


def test_a_generator_that_uses_a_whole_core_says_so() -> None:
    summary = Summary.of(Histogram([nanoseconds(0.01)] * 10))
    ran = Outcome(
        sent=10,
        answered=10,
        seconds=1.0,
        rate_hz=10.0,
        latency_ms=summary,
        lag_ms=Summary.of(Histogram([1])),
        statuses={},
        cpu_s=1.0,
        busy=0.97,
    )
    assert (ran.was_bottleneck, ran.was_late) == (True, False)
    (said,) = notes._of_the_generator(ran)
    assert "the generator was the bottleneck: it used 0.97 of a core" in said
    calm = msgspec.structs.replace(ran, busy=0.1)
    assert not calm.was_bottleneck
    assert not list(notes._of_the_generator(calm))


def test_the_frames_that_can_claim_a_percentile() -> None:
    claims = [
        msgspec.structs.replace(P99, percentile=p).frames_to_claim for p in (50, 99, 99.9, 100)
    ]
    assert claims == [20, 1000, 10_000, None]


def test_the_stages_add_up_to_the_latency() -> None:
    told = {"transport": 4.0, "infer": 3.0}
    trips = [
        trip(latency_ms=20.0, stages_ms=told, path_ms=9.0),
        trip(latency_ms=40.0, stages_ms=told | {"infer": 5.0}, path_ms=10.0),
        trip(latency_ms=None),
        trip(latency_ms=3.0, status="dead-letter"),
    ]
    found = gather.stages(trips)
    assert list(found) == [*STAGES, gather.BETWEEN, gather.ANSWER]
    assert sum(one.mean for one in found.values()) == pytest.approx(30.0)
    assert (found["infer"].mean, found["infer"].p50, found["infer"].p99) == (4.0, 3.0, 5.0)
    assert (found[gather.BETWEEN].mean, found[gather.ANSWER].mean) == (1.5, 20.5)
    assert found["fetch"].mean == 0.0
    assert gather.stages([trip()]) == {}
    by_gateway = [msgspec.structs.replace(one, send_ms=2.0) for one in trips]
    found = gather.stages(by_gateway)
    assert next(iter(found)) == gather.SEND
    assert sum(one.mean for one in found.values()) == pytest.approx(30.0)
    assert (found[gather.SEND].mean, found[gather.ANSWER].mean) == (2.0, 18.5)


def test_a_trip_is_what_the_answer_says_of_the_frame() -> None:
    frame = codecs.message(np.zeros((8, 8), np.uint16), codecs.NATIVE)
    begun = trips.begun(msgspec.structs.replace(frame, accepted_ns=1_000_000, lane="stat"), 5.0)
    said = b"""{"stages_ms": {"infer": 3.0}, "accepted_ns": 3000000, "published_ns": 9000000,
        "model": {"name": "unet", "version": "3", "digest": "0123456789abcdef"}}"""
    ended = trips.ended(begun, Answer(frame.id, 5.02, "ok", said))
    assert (ended.lane, ended.status, ended.due_s) == ("stat", "ok", 5.0)
    assert ended.latency_ms == pytest.approx(20.0)
    assert (ended.send_ms, ended.path_ms, ended.stages_ms) == (2.0, 6.0, {"infer": 3.0})
    assert ended.model == "unet version 3, sha256 0123456789ab"
    assert ended.bytes == 128 + len(said)
    for silent in (b"", b"{}", b"[1"):
        ended = trips.ended(begun, Answer(frame.id, 5.02, "dead-letter", silent))
        assert (ended.send_ms, ended.path_ms, ended.stages_ms) == (None, None, None)


def test_the_histogram_holds_every_latency_in_a_narrow_bucket() -> None:
    values = [0.0, 0.7, 10.0, 10.0, 11.0, 1000.0]
    found = gather.histogram([*(trip(latency_ms=ms) for ms in values), trip(latency_ms=None)])
    assert sum(one.count for one in found) == len(values)
    assert all(one.count for one in found)
    bounds = [one.upper_bound_ms for one in found]
    assert bounds == sorted(bounds)
    for value in values[1:]:
        above = min(bound for bound in bounds if bound >= value)
        assert value <= above <= value * 2 ** (1 / gather.PER_OCTAVE) * 1.0001


def test_the_timeline_has_every_second_to_the_last_answer() -> None:
    trips = [trip(100.2, 50.0), trip(100.9, 3200.0), trip(102.5, None)]
    found = gather.timeline(trips, 100.0)
    assert [one.at_s for one in found] == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert [one.sent for one in found] == [2, 0, 1, 0, 0]
    assert [one.answered for one in found] == [1, 0, 0, 0, 1]
    assert (found[0].p50, found[0].p99, found[1].p50, found[2].p99) == (50.0, 3200.0, None, None)
    assert gather.timeline([], 0.0) == []


@pytest.mark.parametrize("values", [[5.0], [1.0, 1.01, 1.02], [0.5, 3.0, 70.0, 8000.0]])
def test_the_terminal_shows_every_frame_in_a_bar(values: list[float]) -> None:
    buckets = gather.histogram([trip(latency_ms=value) for value in values])
    rows = list(terminal.histogram(buckets))
    assert len(rows) <= terminal.ROWS
    assert sum(int(row.rsplit(maxsplit=1)[1]) for row in rows) == len(values)
    assert sum("#" in row for row in rows) == sum(not row.endswith(" 0") for row in rows)
    assert list(terminal.histogram([])) == []


def test_what_is_seen_of_a_run() -> None:
    missed = Verdict(
        name="bulk p99 <= 100 ms",
        percentile=99,
        limit_ms=100.0,
        observed_ms=123.4,
        met=False,
        burn_rate=3.0,
    )
    lanes = {"bulk": Summary.of(Histogram([nanoseconds(0.01)] * 10))}
    shown = terminal.text(
        run_record(objectives=[missed], lanes=lanes, notes=["careful"], grown=["worker: files"])
    )
    assert "MISSED  bulk p99 <= 100 ms: 123.4 ms, burn rate 3.00" in shown
    assert "10 sent, 10 answered, 0 lost" in shown
    assert "note: careful" in shown
    assert "GREW: worker: files" in shown


@pytest.mark.parametrize(
    "given",
    [
        {"lost": 1},
        {"sent": 0},
        {"statuses": {"ok": 9, "dead-letter": 1}},
        {"grown": ["worker: files"]},
    ],
)
def test_a_run_is_met_when_nothing_is_lost_and_nothing_grew(given: dict[str, Any]) -> None:
    assert run_record().met
    assert not run_record(**given).met


def test_the_record_is_what_other_programs_rely_on(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    made = run_record(histogram_ms=[Bucket(10.0, 10)], latency_ms=None)
    path.write_text(record.encoded(made))
    assert record.read(path) == made
    found = json.loads(record.encoded(run_record()))
    assert found["schema"] == "scanstream.perf.v1"
    assert {"scenario", "rate_hz", "sent", "answered", "lost", "objectives"} <= set(found)
    assert {"p50", "p90", "p99", "p99.9", "max"} <= set(found["latency_ms"])
    assert found["latency_ms"]["p99.9"] is None  # ten frames claim nothing
    assert found["bytes_per_frame"] is None
    assert not any(
        isinstance(v, float) and math.isnan(v) for v in found["latency_ms"].values() if v
    )


@pytest.mark.parametrize(
    "text", ["", "[]", '{"schema": "other"}', '{"schema": "scanstream.perf.v1"}']
)
def test_a_file_that_is_no_record_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "other.json"
    path.write_text(text)
    with pytest.raises(RecordUnreadable, match=r"other.json: "):
        record.read(path)
