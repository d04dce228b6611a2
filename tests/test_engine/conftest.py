"""Fixtures that several tests of the engine share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator

import pytest
from gated_model import QUEUES, Gate, write_gated
from scripted_triton import ScriptedTriton

from engine.config import Settings
from engine.local.triton import Triton


@pytest.fixture
async def server() -> AsyncIterator[ScriptedTriton]:
    """A scripted Triton, listening."""
    server = ScriptedTriton()
    await server.start()
    yield server
    await server.stop()


@pytest.fixture(scope="session")
def gated(
    tmp_path_factory: pytest.TempPathFactory, start_or_skip: Callable[..., None]
) -> Iterator[tuple[str, Gate]]:
    """Address of the real Triton with the gated model, and the gate.

    `gated` has versions 1 and 2, `queued` has levels of priority and a queue policy.
    """
    folder = tmp_path_factory.mktemp("gated")
    gate = Gate(folder / "gate")
    write_gated(folder / "models", gate.folder, versions=("1", "2"))
    write_gated(folder / "models", gate.folder, name="queued", batching=QUEUES)
    server = Triton(folder, folder / "models", Settings())
    start_or_skip(server)
    yield server.address, gate
    server.stop()
