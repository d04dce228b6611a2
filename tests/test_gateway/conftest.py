"""Gateways and brokers for the tests, each ended with the test or the module."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from gateway_process import GatewayProcess, Start, free_port

from engine.config import Settings
from engine.local.broker import Broker
from streams import topics


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start gateways; whatever the test does, none is left."""
    started: list[GatewayProcess] = []

    def begin(broker: str, **given: Any) -> GatewayProcess:
        given = {"store": tmp_path / "store", **given}
        settings = Settings(broker=broker, port=free_port(), **given)
        started.append(GatewayProcess(settings, tmp_path))
        return started[-1]

    yield begin
    for gateway in started:
        gateway.process.kill()
        gateway.process.wait()


@pytest.fixture(scope="module")
def topic_broker(broker: str) -> str:
    """The session's broker, with the topics."""
    asyncio.run(topics.ensure(Settings(broker=broker)))
    return broker


@pytest.fixture(scope="module")
def gateway(
    topic_broker: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GatewayProcess]:
    """One gateway for the tests that need nothing special."""
    folder = tmp_path_factory.mktemp("gateway")
    settings = Settings(broker=topic_broker, port=free_port(), store=folder / "store")
    made = GatewayProcess(settings, folder).when_connected()
    yield made
    assert made.stop() == 0


@pytest.fixture
def own_broker(
    tmp_path: Path, start_or_skip: Callable[[Broker], None]
) -> Iterator[Callable[[], Broker]]:
    """Start a broker, with its topics, that the test may kill."""
    broker = Broker(tmp_path / "broker", port=free_port())

    def begin() -> Broker:
        start_or_skip(broker)
        asyncio.run(topics.ensure(Settings(broker=broker.address)))
        return broker

    yield begin
    if broker.pid is not None:
        broker.stop()


@pytest.fixture
def storescu() -> str:
    """DCMTK's sender, another implementation than the gateway's."""
    found = shutil.which("storescu")
    if found is None:
        assert os.environ.get("CI") != "true", "DCMTK is not installed: apt-get install dcmtk"
        pytest.skip("DCMTK's storescu is not installed: apt-get install dcmtk")
    return found
