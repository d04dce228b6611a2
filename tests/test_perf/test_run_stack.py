"""A short run on the real stack: the harness works, whatever the clock says."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.errors import LocalStackError
from engine.local.broker import Broker
from perf.__main__ import main
from perf.compare.machine import machine
from perf.load.process import Backlog, Constant
from perf.load.target import TargetFailed
from perf.run import faults
from perf.run.kinds import samples
from perf.run.measure import Plan, measure
from perf.run.record import encoded, read
from perf.run.scenarios import Fault, Scenario
from perf.run.scenarios import read as read_scenarios
from perf.run.slo import read as read_objectives
from perf.run.stack import Loaded, embedded

pytestmark = [pytest.mark.kafka, pytest.mark.triton]

IN_CI = os.environ.get("CI") == "true"
STALL_S, PAUSE_S, STALLS, RATE_HZ = 0.05, 0.25, 6, 60.0
ARRIVED_S = 0.005  # from the signal to a process that has stopped
KNOWN = read_scenarios()


def scenario() -> Scenario:
    return KNOWN["single-stream"]


@pytest.fixture(scope="module")
def loaded() -> Iterator[Loaded]:
    made = embedded(scenario(), samples(scenario().kinds), target="kafka", make_broker=Broker)
    try:
        found = made.__enter__()
    except LocalStackError as error:
        if IN_CI:
            raise
        pytest.skip(str(error))
    yield found
    made.__exit__(None, None, None)


def test_a_short_run_is_whole_and_its_parts_add_up(loaded: Loaded, tmp_path: Path) -> None:
    plan = Plan(
        scenario=scenario(),
        objectives=[one for one in read_objectives(KNOWN) if one.scenario == "single-stream"],
        command="python -m perf run single-stream --short",
        rate_hz=None,
        seconds=1.5,
        seed=3,
        short=True,
    )
    said: list[str] = []
    record = measure(loaded, plan, machine(), said.append)
    assert record.sent == record.answered == sum(one.sent for one in record.timeline)
    assert record.sent in (44, 45)  # 30 a second; its phase is drawn
    assert (record.lost, record.statuses, record.rate_hz) == (0, {"ok": record.sent}, 30.0)
    assert record.latency_ms is not None
    means = sum(one.mean for one in record.stages_ms.values())
    assert means == pytest.approx(record.latency_ms.mean, abs=0.01)
    assert record.stages_ms["infer"].mean > 0
    assert {"worker-bulk-1", "triton", "generator"} <= set(record.cpu_ms)
    assert record.generator.null_cpu_ms is not None
    assert record.bytes_per_frame is not None
    assert record.bytes_per_frame > 10_000
    assert sum(one.count for one in record.histogram_ms) == record.answered
    assert record.objectives[0].name == "bulk p50 <= 50 ms"
    assert any("short run" in note for note in record.notes)
    path = tmp_path / "run.json"
    path.write_text(encoded(record))
    assert read(path) == record


def test_a_stack_that_is_there_is_loaded_by_the_command(loaded: Loaded, tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    where = ["--bootstrap", loaded.settings.broker, "--triton", loaded.settings.triton]
    code = main(["run", "single-stream", *where, "--short", "--seconds", "1", "--json", str(path)])
    record = read(path)
    assert code == (0 if record.met else 1)  # the clock may miss an objective here
    assert (record.broker, record.lost) == ("given", 0)
    assert set(record.cpu_ms) == {"generator"}
    found = json.loads(path.read_text())
    assert {"name", "met"} <= set(found["objectives"][0])


def test_an_open_loop_sends_on_while_the_worker_stalls(loaded: Loaded) -> None:
    """All frames that are due in a stall wait for its end; a closed loop has one of them."""
    opened = _in_stalls(loaded, Constant(RATE_HZ, STALLS * PAUSE_S + 1.0, 60_000, drain_s=60.0))
    closed = _in_stalls(loaded, Backlog(1, STALLS * PAUSE_S + 1.0, 0.0, 60_000, drain_s=60.0))
    assert len(opened) == len(closed) == STALLS
    # of 150 frames: more than one in a hundred, so that p99 is one of theirs
    assert sum(map(len, opened)) >= 2 * STALLS
    assert max(max(one, default=0.0) for one in opened) >= 0.6e3 * STALL_S
    assert max(map(len, closed)) <= 1


def _in_stalls(loaded: Loaded, order: Constant | Backlog) -> list[list[float]]:
    """Stop the worker now and then; return the latencies of the frames due in each stall."""
    assert loaded.stack is not None
    pid = loaded.stack.workers[0].pid
    assert pid is not None
    stalls: list[tuple[float, float]] = []
    over = threading.Event()

    def stall() -> None:
        while len(stalls) < STALLS and not over.wait(PAUSE_S - STALL_S):
            os.kill(pid, signal.SIGSTOP)
            begun_s = time.monotonic() + ARRIVED_S
            over.wait(STALL_S)
            ended_s = time.monotonic()
            os.kill(pid, signal.SIGCONT)
            stalls.append((begun_s, ended_s))

    thread = threading.Thread(target=stall)
    thread.start()
    outcome = loaded.loader.run(order)
    over.set()
    thread.join()
    assert outcome.lost == 0
    found = []
    for begun_s, ended_s in stalls:
        due = [one for one in outcome.trips if begun_s <= one.due_s < ended_s]
        for one in due:
            assert one.latency_ms is not None
            assert one.due_s + one.latency_ms / 1e3 >= ended_s  # nobody could answer before
        found.append([one.latency_ms or 0.0 for one in due])
    return found


def test_what_is_done_to_the_target_is_told_and_what_cannot_be_done_ends_the_run(
    loaded: Loaded, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def done(_: object, __: Path, told: faults.Told) -> None:
        told.append((time.monotonic(), "it happened"))

    def failing(_: object, __: Path, told: faults.Told) -> None:
        raise TargetFailed("version 3 was not loaded")

    order = Constant(20.0, 1.0, 60_000, drain_s=60.0)
    asked = [Fault(0.5, "kill triton")]
    monkeypatch.setitem(faults._ACTS, "kill triton", done)
    outcome, ((at_s, what),) = faults.under_load(loaded, order, asked, lambda _: None)
    assert (outcome.lost, what) == (0, "it happened")
    assert at_s >= outcome.start_s + 0.3
    monkeypatch.setitem(faults._ACTS, "kill triton", failing)
    with pytest.raises(TargetFailed, match="version 3"):
        faults.under_load(loaded, order, asked, lambda _: None)
