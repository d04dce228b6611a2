"""What fails in a comparison: a row, a reader, and what neither may take with it."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from perf.compare import command, registry
from perf.compare.case import InTurn, Load
from perf.compare.measure import measure
from perf.rows import kafka


def quiet(text: str) -> None:
    """Progress that nobody reads."""


def failing(_: Callable[[str], None]) -> InTurn:
    raise RuntimeError("a frame was lost")


def test_a_row_that_fails_does_not_take_the_others_with_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    given: dict[str, Any] = {"rival": "-", "unit": "-", "target": 2.0}
    good = Load(name="null/load", measure=lambda _: InTurn([(9.0, 1.0)], True, ""), **given)
    wanted = [
        good,
        Load(name="null/bad", measure=failing, **given),
        replace(good, name="null/next"),
    ]
    monkeypatch.setattr(command, "entries", lambda _: wanted)
    parser = argparse.ArgumentParser()
    command.add_parser(parser.add_subparsers())
    report = tmp_path / "report.json"
    assert command.run(parser.parse_args(["compare", "null", "--json", str(report)])) == 1
    found = json.loads(report.read_text())
    assert [one["name"] for one in found["rows"]] == ["null/load"]
    assert found["not_measured"] == {
        "null/bad": "failed: RuntimeError: a frame was lost",
        "null/next": "the run ended before it",
    }


def test_one_thread_is_for_the_pinned_processes_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("NUMBA_NUM_THREADS", raising=False)
    (entry,) = registry.entries(["null/itself"])
    measure(entry, rounds=1, seconds=0.01, progress=quiet)
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert "NUMBA_NUM_THREADS" not in os.environ


def test_a_reader_that_hangs_without_an_end_of_line_is_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(kafka, "LIMIT_S", 1.0)
    code = "import sys; print('spinner', end='', flush=True); sys.stdin.read()"
    words = [sys.executable, "-c", code]
    pipe = subprocess.PIPE
    with (
        subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=pipe) as reader,
        pytest.raises(RuntimeError, match="did not finish in 1 s"),
    ):
        kafka._line(reader)


def test_a_readers_line_may_come_behind_others() -> None:
    code = "print('spinner'); print('{\"a\": {}}'); print('more')"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as reader:
        assert kafka._line(reader) == b'{"a": {}}'
