"""Fixtures that several tests of the engine share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from scripted_triton import ScriptedTriton


@pytest.fixture
async def server() -> AsyncIterator[ScriptedTriton]:
    """A scripted Triton, listening."""
    server = ScriptedTriton()
    await server.start()
    yield server
    await server.stop()
