"""`python -m perf run`: what is refused, and what a search and a record come from."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest

from perf.__main__ import main
from perf.load.generator import Outcome
from perf.load.recorder import Histogram, Summary, nanoseconds
from perf.run import command, scenarios, search, slo
from perf.run.kinds import LOSSLESS, claimed, samples
from perf.run.slo import Objective

P99 = Objective(scenario="server", percentile=99, limit_ms=100.0)
CLOSED_PORT = "127.0.0.1:1"


def outcome(p99_ms: float, **given: Any) -> Outcome:
    summary = Summary.of(Histogram([nanoseconds(p99_ms / 1e3)]))
    whole: dict[str, Any] = {"sent": 1, "answered": 1, "seconds": 1.0, "rate_hz": 1.0}
    whole |= {"latency_ms": summary, "lag_ms": summary, "statuses": {}, "cpu_s": 0.0}
    return Outcome(**(whole | given))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["tides"], "no scenario 'tides'; there are single-stream, "),
        (["single-stream", "--rate", "0"], "--rate 0: a number above 0"),
        (["single-stream", "--seconds", "nan"], "--seconds nan: a number above 0"),
        (["offline", "--rate", "10"], "--rate: offline goes as fast as it can"),
        (["server", "--triton", "127.0.0.1:8001"], "give --bootstrap too"),
        (["server", "--bootstrap", "somewhere"], "--bootstrap somewhere: HOST:PORT"),
        (["server", "--bootstrap", "a:1,b:2", "--target", "dicom"], "needs --gateway"),
        (["faults", "--bootstrap", "a:1"], "on the embedded stack only"),
    ],
)
def test_wrong_usage_is_told_in_one_line(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("perf run: ")
    assert said in line


def test_a_file_that_cannot_be_used_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "slo.toml"
    broken.write_text("[[objective]]\nscenario = 'server'\n")
    monkeypatch.setattr(slo, "read", lambda known, read=slo.read: read(known, broken))
    assert main(["run", "server"]) == 2
    said = capsys.readouterr().err
    assert "slo.toml: objectives: " in said
    assert "percentile" in said


def test_a_stack_that_does_not_answer_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "single-stream", "--bootstrap", CLOSED_PORT, "--short"]) == 1
    assert f"broker {CLOSED_PORT} does not answer" in capsys.readouterr().err


def test_a_plan_is_the_scenario_with_what_was_asked_for() -> None:
    parser = argparse.ArgumentParser()
    command.add_parser(parser.add_subparsers())

    def plan(*words: str) -> Any:
        return command.planned(parser.parse_args(["run", *words]))

    full, short = plan("server"), plan("server", "--short", "--rate", "20", "--seed", "7")
    assert (full.seconds, short.seconds) == (full.scenario.seconds, full.scenario.short_s)
    assert plan("server", "--seconds", "3").seconds == 3.0
    assert full.searched is not None
    assert full.searched.percentile == 99
    assert short.searched is None  # one rate
    assert short.command == "python -m perf run server --rate 20.0 --seed 7 --short"
    assert {one.scenario for one in full.objectives} == {"server"}


def test_a_rate_that_does_not_hold_for_long_is_lowered_until_one_does() -> None:
    ran: list[tuple[float, int]] = []

    def run(rate_hz: float, seed: int) -> Outcome:
        ran.append((rate_hz, seed))
        return outcome(50.0 if rate_hz < 91.0 else 500.0)

    found = search.confirmed(run, P99, 100.0, tries=5, progress=lambda _: None)
    assert [round(rate_hz, 2) for rate_hz, _ in ran] == [100.0, 95.0, 90.25]
    assert len({seed for _, seed in ran}) == 3
    assert found.held
    assert found.rate_hz == ran[-1][0]
    assert [one.held for one in found.points] == [False, False, True]
    refuted = search.confirmed(run, P99, 1000.0, tries=2, progress=lambda _: None)
    assert not refuted.held
    assert refuted.rate_hz == 950.0
    assert len(refuted.points) == 2


class _Loader:
    """Holds below 40 frames a second."""

    def run(self, asked: Any) -> Outcome:
        return outcome(50.0 if asked.rate_hz < 40 else 500.0)


@pytest.mark.parametrize(("highest_hz", "low", "high"), [(100.0, 37.0, 40.0), (1e6, 0.0, 1e4)])
def test_a_search_gives_a_rate_that_held_or_the_lowest_tried(
    highest_hz: float, low: float, high: float
) -> None:
    loader: Any = _Loader()
    rate_hz, points = search.found(
        loader, P99, highest_hz=highest_hz, steps=7, progress=lambda _: None
    )
    assert low < rate_hz <= high
    assert len(points) == 7


def test_every_kind_has_frames_and_large_ones_travel_as_claims() -> None:
    kept: dict[str, bytes] = {}

    class Store:
        def put(self, key: str, data: bytes) -> str:
            kept[key] = data
            return "stored"

    found = samples(scenarios.KINDS)
    assert list(found) == list(scenarios.KINDS)
    (film,) = found["mammography"]
    assert (film.info.rows, film.info.columns) == (4096, 3584)
    assert film.info.transfer_syntax_uid == LOSSLESS
    store: Any = Store()
    (sent,) = claimed([film], store, 2**20)
    assert sent.claim is not None
    assert sent.value == b""
    assert kept == {sent.claim.key: film.value}
    assert claimed(found["ct"], store, 2**20) == found["ct"]
    modalities = {kind: frames[0].info.keywords["Modality"] for kind, frames in found.items()}
    assert modalities == {"cine": "MR", "ct": "CT", "ultrasound": "US", "mammography": "MG"}
