"""Who goes first at the real Triton: STAT, then what waited too long, then bulk."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext

import pytest
from gated_model import numbered
from model_contract import pictures
from scripted_triton import client

from engine.batches import Batches
from engine.infer import TritonModel
from engine.infer.request import Place

pytestmark = pytest.mark.triton
FAR_S = 3600.0


@asynccontextmanager
async def connected(address: str, name: str = "gated") -> AsyncIterator[TritonModel]:
    model = TritonModel(address, name, version="1", max_batch=8, slots=3, timeout_s=20)
    await model.start()
    yield model
    await model.close()


@asynccontextmanager
async def worker(address: str) -> AsyncIterator[Batches]:
    """A bulk worker's way to Triton."""
    async with connected(address) as model:
        await model.measure()
        batches = Batches(model, max_batch=8, max_wait_s=0.01, in_flight=3)
        yield batches
        await batches.close()


@pytest.mark.parametrize("workers", [1, 3])
async def test_a_stat_frame_waits_for_one_bulk_batch(gated, workers: int) -> None:
    """However much bulk waits, and in however many workers: it is the very next, and alone."""
    address, gate = gated
    gate.clear()
    async with AsyncExitStack() as stack:
        bulk = [await stack.enter_async_context(worker(address)) for _ in range(workers)]
        stat = await stack.enter_async_context(connected(address))
        deadline_s = time.time() + FAR_S
        flood = [
            asyncio.create_task(one.infer(image, deadline_s))
            for one in bulk
            for image in numbered(*range(1, 25))
        ]
        for passed in (0, 1, 2):
            await gate.until_begun(2 * passed + 1)
            urgent = asyncio.create_task(stat.infer(numbered(200), priority="stat"))
            await told(stat)
            gate.pass_on(2)
            assert (await urgent)[0].mask[0, 0] == 200
            assert gate.began()[2 * passed + 1][1] == [[200]]
        gate.pass_on(24 * workers)
        await asyncio.gather(*flood)
        bulk_batches = [batch for _, batch in gate.began() if batch != [[200]]]
        assert all(len(requests) == 1 for requests in bulk_batches)  # none was joined with another


async def test_what_waited_too_long_goes_before_later_bulk(gated, monkeypatch) -> None:
    """In a model with levels, and clients that take no turns: those on other hosts."""
    monkeypatch.setattr(TritonModel, "_turn", lambda *_: nullcontext())
    address, gate = gated
    gate.clear()
    async with connected(address, "queued") as model, connected(address, "queued") as other:
        first = asyncio.create_task(other.infer(numbered(*[1] * 8), priority="stat"))
        await gate.until_begun(1)
        places = watch_places(model)
        expiring = asyncio.create_task(model.infer(numbered(*[2] * 8), budget_ms=50))
        await told(model)
        later = asyncio.create_task(other.infer(numbered(*[3] * 8), priority="bulk"))
        async with asyncio.timeout(10):
            assert await places.get() == Place(budget_ms=50)
            assert await places.get() == Place(again=True)
        await asyncio.gather(told(model), told(other))
        gate.pass_on(3)
        answers = await asyncio.gather(first, expiring, later)
        assert [one[0].late for one in answers] == [False, True, False]
        assert [batch[0][0] for _, batch in gate.began()] == [1, 2, 3]


def watch_places(model: TritonModel) -> asyncio.Queue[Place]:
    """Return where every request from now on stands in Triton's queue."""
    queue: asyncio.Queue[Place] = asyncio.Queue()
    infer = model._infer

    async def watched(images, place, *given):
        queue.put_nowait(place)
        return await infer(images, place, *given)

    model._infer = watched
    return queue


async def told(model: TritonModel) -> None:
    """Wait until the server has taken in what was sent on this connection: it answers in order."""
    for _ in range(20):
        await model._link.client.is_server_live()


@pytest.mark.parametrize(
    ("levels", "stat", "again", "bulk"), [(0, 0, 0, 0), (1, 0, 0, 0), (2, 1, 1, 2), (3, 1, 2, 3)]
)
def test_places_in_a_queue_of_any_number_of_levels(levels, stat, again, bulk) -> None:
    assert Place(lane="stat").priority(levels) == stat
    assert Place(lane="stat", again=True).priority(levels) == stat
    assert Place(again=True).priority(levels) == again
    assert Place().priority(levels) == bulk


async def test_the_place_is_told_to_triton(server) -> None:
    async with client(server) as model:
        await model.infer(pictures(1), priority="stat")
        assert server.requests[-1].parameters["priority"].uint64_param == 1
        await model.infer(pictures(1))
        assert server.requests[-1].parameters["priority"].uint64_param == 3
    server.priority_levels = 0
    async with client(server) as model:
        await model.infer(pictures(1), priority="stat")
        assert "priority" not in server.requests[-1].parameters
