"""The rows that run whole stacks: their pieces on the real broker, and how they are reported."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from echo import Echo

from engine.config import Settings
from engine.decode import decode
from engine.local.broker import Broker
from engine.local.stack import create_topics
from engine.messages import Mask
from engine.postprocess import decode_mask
from engine.training.evaluate import dice
from perf.baselines import decode as codecs
from perf.baselines.in_process import served
from perf.baselines.plain_loop import PlainLoop, enhanced
from perf.baselines.stock_faust import record
from perf.compare import command, registry
from perf.compare.case import InTurn, Load, NotMeasured
from perf.compare.measure import MeasuringFailed, measure
from perf.compare.turns import in_turn
from perf.load.capacity import Search
from perf.load.copies import copied_bytes, counting
from perf.load.curve import write
from perf.load.frames import MIXED, cine, mixed
from perf.load.generator import Outcome
from perf.load.process import Loader, Poisson
from perf.load.processor import processor_seconds
from perf.load.recorder import Histogram, Summary
from perf.rows import kafka

Measure = Callable[[Callable[[str], None]], InTurn]


def quiet(text: str) -> None:
    """Progress that nobody reads."""


def load(measured: Measure, **given: Any) -> Load:
    return Load(name="null/load", rival="-", unit="-", target=2.0, measure=measured, **given)


def outcome(p99_ms: float, **given: Any) -> Outcome:
    summary = Summary.of(Histogram([round(p99_ms * 1e6)]))
    whole: dict[str, Any] = {"sent": 1, "answered": 1, "seconds": 1.0, "rate_hz": 1.0}
    whole |= {"latency_ms": summary, "lag_ms": summary, "statuses": {}, "cpu_s": 0.0}
    return Outcome(**(whole | given))


def test_a_load_is_the_median_of_its_rounds() -> None:
    row = measure(
        load(lambda _: InTurn([(4.0, 2.0), (9.0, 3.0), (8.0, 2.0)], True, "said")),
        rounds=1,
        seconds=0.1,
        progress=quiet,
    )
    assert (row.ours, row.theirs, row.ratio, row.met, row.note) == (8.0, 2.0, 3.0, True, "said")
    (only,) = row.on_cores
    assert (only.ratio_min, only.ratio_max) == (2.0, 4.0)
    assert only.cores == len(os.sched_getaffinity(0))


@pytest.mark.parametrize(("inverse", "ratio", "met"), [(False, 0.25, False), (True, 4.0, True)])
def test_a_load_where_less_is_better(inverse: bool, ratio: float, met: bool) -> None:
    entry = load(lambda _: InTurn([(1.0, 4.0)], True, ""), lower_is_better=inverse)
    row = measure(entry, rounds=1, seconds=0.1, progress=quiet)
    assert (row.ratio, row.met) == (ratio, met)


def test_results_that_differ_miss_whatever_the_speed() -> None:
    entry = load(lambda _: InTurn([(9.0, 1.0)], False, ""))
    assert not measure(entry, rounds=1, seconds=0.1, progress=quiet).met


def test_a_stack_that_fails_ends_the_run_with_its_traceback() -> None:
    def failing(_: Callable[[str], None]) -> InTurn:
        raise RuntimeError("the stack did not start")

    with pytest.raises(MeasuringFailed, match="the stack did not start"):
        measure(load(failing), rounds=1, seconds=0.1, progress=quiet)


def test_what_turns_out_impossible_on_the_way_is_listed_without_a_figure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def impossible(_: Callable[[str], None]) -> InTurn:
        raise NotMeasured("too slow here")

    monkeypatch.setattr(command, "entries", lambda _: [load(impossible)])
    parser = argparse.ArgumentParser()
    command.add_parser(parser.add_subparsers())
    report = tmp_path / "report.json"
    args = parser.parse_args(["compare", "null", "--json", str(report)])
    assert command.run(args) == 1
    found = json.loads(report.read_text())
    assert found["rows"] == []
    assert found["not_measured"] == {"null/load": "too slow here"}


def test_rounds_alternate_who_begins() -> None:
    order: list[str] = []
    pairs = in_turn(
        lambda: float(len(order.append("ours") or order)),  # type: ignore[func-returns-value]
        lambda: float(len(order.append("theirs") or order)),  # type: ignore[func-returns-value]
        2,
        quiet,
    )
    assert order == ["ours", "theirs", "theirs", "ours"]
    assert pairs == [(1.0, 2.0), (4.0, 3.0)]


def test_the_rows_of_whole_stacks_are_there() -> None:
    names = {one.name for one in registry.entries(["path", "serve", "batching", "kafka"])}
    assert {"path/plain-loop", "path/plain-loop-mixed", "path/own-limit"} <= names
    assert {"serve/in-process", "batching/stock-faust", "batching/fixed"} <= names
    assert {"kafka/confluent", "kafka/stock-faust"} <= names


def test_cine_frames_are_what_the_gateway_publishes_and_the_loop_finds_the_cavity() -> None:
    samples = cine(1)
    assert len({one.message.id for one in samples}) == len(samples) == 20
    assert {one.message.codec for one in samples} == {"delta-zstd.v1"}
    sample = max(samples, key=lambda one: int(one.mask.sum()))
    loop = PlainLoop(served() / "model.onnx", threads=1)
    found = loop(sample.dataset)
    assert dice(found.mask, sample.mask) > 0.8
    spacing = sample.dataset.PixelSpacing
    assert found.area_mm2 == pytest.approx(found.mask.sum() * spacing[0] * spacing[1])
    said = json.loads(record(sample.message, found.mask, found.area_mm2))
    assert said["frame"]["id"] == sample.message.id
    mask = msgspec.convert(said["masks"][0], Mask)
    np.testing.assert_array_equal(decode_mask(mask), found.mask)


def test_the_plain_chain_takes_any_shape() -> None:
    frame = np.random.default_rng(0).integers(0, 1000, (96, 64), np.uint16)
    picture = enhanced(frame)
    assert picture.shape == (256, 256)
    assert picture[:, :40].max() == 0  # a margin: 64 of 96 columns fill two thirds of the canvas
    assert picture[:, 128].max() > 0


def test_mixed_frames_come_in_every_syntax_and_decode_to_the_same_values() -> None:
    samples = mixed(1)[: len(MIXED)]
    assert [one.message.info.transfer_syntax_uid for one in samples] == list(MIXED)
    for one in samples:
        found = decode(one.message, max_frame_bytes=2**26)
        assert found.shape == (512, 512)
        np.testing.assert_array_equal(found, one.dataset.pixel_array)


def test_processor_time_is_that_of_the_whole_tree() -> None:
    burn = (
        "import time; t = time.process_time\nwhile t() < 0.3: pass\nprint(1, flush=True)\ninput()"
    )
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {burn!r}])"
    child = subprocess.Popen(
        [sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    assert child.stdout.readline().strip() == b"1"
    assert processor_seconds([child.pid]) >= 0.28
    child.communicate(b"\n")
    assert processor_seconds([child.pid]) == 0.0


def test_copied_bytes_are_counted() -> None:
    code = (
        "from perf.load.copies import copied_bytes; source = bytes(10**7);"
        "start = copied_bytes(); copy = bytearray(source); print(copied_bytes() - start)"
    )
    with counting() as environ:
        if environ is None:
            pytest.skip("no C compiler on x86-64")
        root = str(Path(__file__).resolve().parents[2])
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**environ, "PYTHONPATH": root},
            check=True,
            capture_output=True,
            text=True,
        )
    assert 10**7 <= int(done.stdout) < 1.1 * 10**7
    assert copied_bytes() == 0  # nobody counts here


def test_the_curve_is_a_picture_with_its_points(tmp_path: Path) -> None:
    search = Search(high=100.0, objective_ms=100.0)
    for rate_hz, p99_ms in ((80.0, 300.0), (40.0, 20.0)):
        search.told(rate_hz, outcome(p99_ms))
    search.told(60.0, outcome(1.0, stopped=True))
    assert (search.low, search.high) == (40.0, 60.0)
    picture = write({"ours": search}, tmp_path / "made")
    assert picture.read_bytes().startswith(b"\x89PNG")
    points = json.loads(picture.with_suffix(".json").read_text())["ours"]
    assert [(one["rate_hz"], one["stopped"]) for one in points] == [
        (40.0, False),
        (60.0, True),
        (80.0, False),
    ]


@pytest.fixture
def own_broker(tmp_path: Path, start_or_skip: Callable[[Broker], None]) -> Iterator[str]:
    """Address of a broker without other tests' frames."""
    server = Broker(tmp_path)
    start_or_skip(server)
    yield server.address
    server.stop()


@pytest.mark.kafka
def test_the_kafka_target_sends_frames_and_matches_their_answers(own_broker: str) -> None:
    broker = own_broker
    create_topics(Settings(broker=broker))
    sample = codecs.message(np.arange(64, dtype=np.uint16).reshape(8, 8), codecs.NATIVE)
    with Echo(broker) as echo, Loader(broker, [sample]) as loader:
        found = loader.run(Poisson(40, 1.0, seed=3, budget_ms=100, drain_s=20, keep=True))
    assert found.sent == found.answered == len(echo.taken) > 20
    assert found.statuses["dead-letter"] == found.sent // 5
    assert found.statuses["ok"] == found.sent - found.sent // 5
    assert found.latency_ms.p50 > 0
    assert list(found.kept) == [0]
    assert all(one.value == sample.value for one in echo.taken)
    assert len({one.info.series_instance_uid for one in echo.taken}) > 4
    budgets = [one.deadline_ms - one.accepted_ns / 1e6 for one in echo.taken]
    assert budgets == pytest.approx([100.0] * len(budgets), abs=1)


@pytest.mark.kafka
def test_the_kafka_row_on_the_pip_broker(monkeypatch: pytest.MonkeyPatch, broker: str) -> None:
    frames = np.random.default_rng(0).integers(0, 4096, (2, 512, 512), np.uint16)
    monkeypatch.setattr(kafka.codecs, "frames", lambda count: list(frames))
    monkeypatch.setattr(kafka, "_copies", lambda *_: "not counted")
    found = kafka.measure("confluent", quiet, frames=24, rounds=1)
    assert found.equal, found.note
    assert all(ours > 0 and theirs > 0 for ours, theirs in found.rounds)
    assert not kafka._agree({"2.25.1/1": "0"}, {"2.25.1/1": "1"})
    assert not kafka._agree({}, {})
