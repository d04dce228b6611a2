"""The whole embedded stack comes up, answers, and goes without a trace."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from watching import CHECKOUT, exists, until

from engine.config import Settings
from engine.errors import LocalStackError
from engine.local.processes import Server, accepts
from engine.local.stack import LocalStack, create_topics


def pids(servers: list[Server]) -> list[int]:
    return [server.pid for server in servers if server.pid is not None]


@pytest.mark.kafka
@pytest.mark.triton
def test_stack_starts_and_stops(tmp_path: Path, settings: Callable[..., Settings]) -> None:
    with LocalStack(tmp_path, settings(), workers=1) as stack:
        assert [server.name for server in stack.servers] == [
            "broker",
            "triton",
            "gateway",
            "series",
            "worker-bulk-1",
        ]
        assert all(server.alive for server in stack.servers)
        assert stack.settings.broker == stack.broker.address
        assert stack.settings.triton == stack.triton.address
        assert accepts(stack.settings.port)
        started = pids(stack.servers)
    assert len(started) == 5
    assert not any(map(exists, started))


@pytest.mark.kafka
@pytest.mark.triton
def test_stack_that_cannot_start_leaves_nothing(
    tmp_path: Path, settings: Callable[..., Settings]
) -> None:
    stack = LocalStack(tmp_path, settings(), repository=tmp_path)
    with pytest.raises(LocalStackError, match="triton: no model"):
        stack.start()
    assert not any(map(exists, pids(stack.servers)))


def test_stack_on_named_ports_stays_on_loopback(tmp_path: Path) -> None:
    with pytest.raises(LocalStackError, match="setting `broker` is kafka:9092"):
        LocalStack(tmp_path, Settings(broker="kafka:9092"), free_ports=False)


def test_topics_that_cannot_be_created_are_an_error() -> None:
    with pytest.raises(LocalStackError, match="topics: not created"):
        create_topics(Settings(broker="127.0.0.1:1"))


@pytest.mark.kafka
@pytest.mark.triton
@pytest.mark.slow
def test_up_restarts_what_dies_and_ends_on_sigint(tmp_path: Path) -> None:
    environ = {**os.environ, "SCANSTREAM_STORE": str(tmp_path / "store")}
    words = ["up", "--free-ports", "--json", "--folder", str(tmp_path)]
    with (
        (tmp_path / "said").open("wb") as said,
        subprocess.Popen(
            [sys.executable, "-m", "engine.cli", *words],
            stdout=subprocess.PIPE,
            stderr=said,
            env=environ,
            cwd=CHECKOUT,
        ) as up,
        contextlib.ExitStack() as ending,
    ):
        ending.callback(up.kill)  # whatever fails: leaving the block waits for the process
        assert up.stdout is not None
        state = json.loads(up.stdout.readline())
        services = {service["name"]: service["pid"] for service in state["services"]}
        workers = {"worker-bulk-1", "worker-stat-1"}
        assert set(services) == {"broker", "triton", "gateway", "series"} | workers
        os.kill(services["gateway"], signal.SIGKILL)
        until(lambda: "gateway is back" in (tmp_path / "said").read_text(), 60.0)
        assert accepts(int(state["gateway"].rpartition(":")[2]))
        up.send_signal(signal.SIGINT)
        assert up.wait(60) == 0
        assert up.stdout.read() == b""
    until(lambda: not any(map(exists, services.values())))
    assert (
        "gateway ended with code 137; starting it again in 0.5 s" in (tmp_path / "said").read_text()
    )
