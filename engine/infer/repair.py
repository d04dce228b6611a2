"""Faults of a server that a client sees or mends: a restart, a model whose process has died."""

from __future__ import annotations

import logging
from typing import Any

from tritonclient.utils import InferenceServerException

log = logging.getLogger(__name__)


def is_open(client: Any) -> bool:
    """Return whether the connection still stands. One that was broken may lead to other weights.

    gRPC would connect again without a word, and only shared memory and `about` tell of a restart.
    """
    return bool(client._channel.get_state().name == "READY")  # tritonclient shows it nowhere


async def reload(client: Any, name: str, *, timeout_s: float) -> None:
    """Unload the model and load it again, where the server lets clients do that.

    Triton's Python backend (2.51) does not start a process again that has died, and goes on saying
    that the model is ready; loading alone changes nothing.
    """
    try:
        await client.unload_model(name, client_timeout=timeout_s)
        await client.load_model(name, client_timeout=timeout_s)
        log.warning("model %s had lost its process: loaded again", name)
    except InferenceServerException as error:
        log.warning("model %s has lost its process, restart Triton: %s", name, error.message())
