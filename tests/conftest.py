"""Fixtures for all tests: the real servers, each started once a session and only when used."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from engine.config import Settings
from engine.errors import LocalStackError
from engine.local.broker import Broker
from engine.local.processes import Server
from engine.local.stack import MODELS, LocalStack
from engine.local.triton import Triton

Start = Callable[[Server | LocalStack], None]
IN_CI = os.environ.get("CI") == "true"
END_TO_END = "test_end_to_end"


class ByFile(LoadScopeScheduling):  # type: ignore[misc]
    """Hands whole files to pytest-xdist's processes, and the end-to-end tests as one.

    These share a stack, which is started once, and take the longest: they come first, since files
    are handed out in order (`--no-loadscope-reorder`). `--dist loadgroup` would say the same, but
    groups nothing with pytest 9.2 (pytest-xdist 3.8, issue 1386).
    """

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.partition("::")[0]
        return END_TO_END if END_TO_END in path else path


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile:
    """Answer pytest-xdist's question who distributes the tests."""
    return ByFile(config, log)


@pytest.fixture(scope="session")
def start_or_skip() -> Start:
    """Start servers; outside CI a machine that cannot run them skips the tests that need them."""

    def start(server: Server | LocalStack) -> None:
        try:
            server.start()
        except LocalStackError as error:
            if IN_CI:
                raise
            pytest.skip(str(error))

    return start


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory, start_or_skip: Start) -> Iterator[str]:
    """Address of a broker that speaks Kafka's protocol, with no topics."""
    server = Broker(tmp_path_factory.mktemp("broker"))
    start_or_skip(server)
    yield server.address
    server.stop()


@pytest.fixture(scope="session")
def triton(tmp_path_factory: pytest.TempPathFactory, start_or_skip: Start) -> Iterator[str]:
    """gRPC address of the real Triton, with the models of triton_models/cpu."""
    server = Triton(tmp_path_factory.mktemp("triton"), MODELS, Settings())
    start_or_skip(server)
    yield server.address
    server.stop()


@pytest.fixture
def settings(tmp_path: Path) -> Callable[..., Settings]:
    """Make settings whose folders are this test's own; keywords win."""

    def make(**given: Any) -> Settings:
        return Settings(**{"store": tmp_path / "store", **given})

    return make
