"""Trying out a version before frames go to it: its contract, and blank batches of some sizes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import numpy as np

from engine.errors import FrameError, ModelUnavailable
from engine.infer import answers
from engine.infer.contract import read_contract
from engine.infer.request import Place, Served, prepare
from engine.messages import ModelRef

Turn = Callable[[], AbstractAsyncContextManager[None]]

REST = 2.0  # times what a blank batch took
MAX_REST_S = 1.0


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
    client: Any, served: Served, *, max_batch: int, timeout_s: float, turn: Turn
) -> dict[int, float]:
    """Have blank batches computed beside the frames; return the seconds of each size, once warm.

    Each takes a turn, since two versions that compute at once hinder each other, and is followed by
    a rest, so that the frames keep most of the processors. Raises as `learn` does.
    """

    async def compute(size: int) -> float:
        async with turn():
            taken_s = await seconds(_try_out(client, served, size, timeout_s))
        await asyncio.sleep(min(MAX_REST_S, REST * taken_s))
        return taken_s

    return await timed(compute, max_batch=max_batch)


async def timed(compute: Callable[[int], Awaitable[float]], *, max_batch: int) -> dict[int, float]:
    """Return the seconds that `compute(size)` says it took, for some sizes, once these are warm."""
    taken_s = {}
    for size in tried_sizes(max_batch):
        await compute(size)  # allocates
        taken_s[size] = await compute(size)
    return taken_s


def tried_sizes(max_batch: int) -> list[int]:
    """Return the batch sizes to try out: the powers of four, and the largest.

    What a size between them costs lies on a line between theirs. Its own first batch allocates,
    20 to 30 ms on two cores: less than the trial of it would take from the frames.
    """
    return sorted(
        {4**power for power in range(max_batch.bit_length()) if 4**power < max_batch} | {max_batch}
    )


async def seconds(answer: Awaitable[object]) -> float:
    """Return how long it takes to come."""
    start_s = time.monotonic()
    await answer
    return time.monotonic() - start_s


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
