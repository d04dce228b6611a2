"""Trying out a version before frames go to it: its contract, and blank batches of every size."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np

from engine.errors import FrameError, ModelUnavailable
from engine.infer import answers
from engine.infer.contract import read_contract
from engine.infer.request import Place, Served, prepare
from engine.messages import ModelRef


async def learn(
    client: Any, name: str, version: str, *, max_batch: int, timeout_s: float
) -> tuple[Served, ModelRef]:
    """Return what the version promises and, after one blank picture, which model it is.

    Raises `ModelUnavailable` where it breaks the contract or takes no batches of `max_batch`,
    `TimeoutError`, and what tritonclient raises.
    """
    async with asyncio.timeout(timeout_s):
        metadata = await client.get_model_metadata(name, version)
        answer = await client.get_model_config(name, version)
    served = Served(name, version, read_contract(metadata, answer.config))
    if max_batch > served.contract.max_batch:
        raise ModelUnavailable(  # not the frames' fault: they wait until it is put right
            f"setting `max_batch` is {max_batch}, "
            f"Triton's model {name} takes {served.contract.max_batch}"
        )
    return served, await _try_out(client, served, 1, timeout_s)


async def warm(
    client: Any, served: Served, *, max_batch: int, timeout_s: float
) -> dict[int, float]:
    """Have blank batches computed; return the seconds of some sizes, once these are warm.

    Raises as `learn` does.
    """
    return await timed(lambda size: _try_out(client, served, size, timeout_s), max_batch=max_batch)


async def timed(compute: Callable[[int], Awaitable[object]], *, max_batch: int) -> dict[int, float]:
    """Return the seconds that `compute(size)` takes for some sizes, once these are warm."""
    taken_s = {}
    for size, counts in tried_sizes(max_batch):
        start_s = time.monotonic()
        await compute(size)
        if counts:
            taken_s[size] = time.monotonic() - start_s
    return taken_s


def tried_sizes(max_batch: int) -> list[tuple[int, bool]]:
    """Return the batch sizes to try out, and whether to time them.

    The first batch of a size allocates: every size up to 16, the powers of two beyond and the
    largest are tried; of these the powers of two and the largest once more, for the time.
    """
    powers = {2**power for power in range(max_batch.bit_length())} | {max_batch}
    first = powers | set(range(1, min(max_batch, 16) + 1))
    return [(size, False) for size in sorted(first)] + [(size, True) for size in sorted(powers)]


async def _try_out(client: Any, served: Served, size: int, timeout_s: float) -> ModelRef:
    """Have `size` blank pictures computed, without a slot: these belong to frames."""
    blank = [np.zeros(served.contract.input_shape, np.uint8)] * size
    async with asyncio.timeout(timeout_s):
        request = prepare(served, blank, None, Place())
        result = await request.send(client, timeout_s)
    try:
        return answers.read(result, size, None, served)[0].model
    except FrameError as error:  # no frame's fault: nobody's frame was asked for
        raise ModelUnavailable(f"Triton's model {served.name}: {error}") from error
