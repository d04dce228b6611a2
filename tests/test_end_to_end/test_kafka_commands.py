"""The commands that start a stack of their own, on Apache Kafka."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.progress import Progress
from watching import CHECKOUT, exists, until

from engine.config import Settings
from engine.demo.inputs import phantoms
from engine.demo.run import run_demo
from engine.local.kafka import Kafka

pytestmark = [pytest.mark.kafka, pytest.mark.triton, pytest.mark.slow]


@pytest.fixture
def kafka(tmp_path: Path, start_or_skip: Callable[[Any], None]) -> Kafka:
    """A node that has run here once, so that one can; stopped."""
    made = Kafka(tmp_path / "broker")
    start_or_skip(made)
    made.stop()
    return made


def test_the_demo(kafka: Kafka, tmp_path: Path) -> None:
    settings = Settings(store=tmp_path / "store")
    summary = run_demo(settings, phantoms(24), tmp_path, Progress(disable=True), broker=kafka)
    assert summary["results"] + summary["dead_letters"] == summary["frames"] >= 24
    assert summary["dead_letters_on_phantom"] == 0
    assert json.loads((tmp_path / "summary.json").read_text())["frames"] == summary["frames"]


def test_a_cluster_id_that_begins_with_a_hyphen(
    tmp_path: Path, start_or_skip: Callable[[Any], None]
) -> None:
    """One in 64 does: it must not be taken for an option of Kafka's tools."""
    folder = tmp_path / "kafka-of-1"
    folder.mkdir()
    (folder / "cluster.id").write_text(name := "-" + "A" * 21)
    broker = Kafka(tmp_path)
    start_or_skip(broker)
    broker.stop()
    assert f"cluster.id={name}" in (folder / "data-1" / "meta.properties").read_text()


def test_up_starts_a_killed_broker_again(kafka: Kafka, tmp_path: Path) -> None:
    environ = {**os.environ, "SCANSTREAM_STORE": str(tmp_path / "store")}
    words = ["up", "--kafka", "--free-ports", "--json", "--folder", str(tmp_path)]
    with (
        (tmp_path / "said").open("wb") as said,
        subprocess.Popen(
            [sys.executable, "-m", "engine.cli", *words],
            stdout=subprocess.PIPE,
            stderr=said,
            env=environ,
            cwd=CHECKOUT,
        ) as up,
    ):
        assert up.stdout is not None
        services = json.loads(up.stdout.readline())["services"]
        pids = {service["name"]: service["pid"] for service in services}
        try:
            os.kill(pids["kafka-1"], signal.SIGKILL)
            until(lambda: "kafka-1 is back" in (tmp_path / "said").read_text(), 60.0)
        finally:
            up.send_signal(signal.SIGINT)
            assert up.wait(60) == 0
    until(lambda: not any(map(exists, pids.values())))
