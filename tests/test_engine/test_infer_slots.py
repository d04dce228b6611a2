"""The Triton client's shared memory: registered once, one request in each slot, never leaked."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import grpc
import numpy as np
import pytest
from model_contract import pictures
from scripted_triton import WAIT_S, ScriptedTriton, client

from engine.errors import ModelUnavailable
from engine.infer import TritonModel
from engine.infer.slots import FOLDER, PREFIX, Slots, sweep


def our_regions() -> set[str]:
    return {path.name for path in FOLDER.glob(f"{PREFIX}-*")}


async def late_answers(model: TritonModel) -> None:
    """Wait for the answers that came after their callers had gone."""
    async with asyncio.timeout(WAIT_S):
        await asyncio.gather(*model._link.ring._late)


async def test_each_region_is_registered_once_and_unlinked_at_close(server) -> None:
    before = our_regions()
    async with client(server) as model:
        for seed in range(5):
            await model.infer(pictures(2, seed))
        assert server.registrations == 1
        await asyncio.gather(model.infer(pictures(1)), model.infer(pictures(1)))
        assert server.registrations == 2
        assert len(our_regions() - before) == 2
    assert server.regions == {}
    assert our_regions() == before


async def test_a_slot_is_used_by_one_request_at_a_time(server) -> None:
    busy: set[str] = set()
    three = asyncio.Barrier(3)

    async def before(server: ScriptedTriton, number: int) -> None:
        parameters = server.requests[number - 1].inputs[0].parameters
        if "shared_memory_region" not in parameters:
            return  # the client's first look
        name = parameters["shared_memory_region"].string_param
        assert name not in busy
        busy.add(name)
        async with asyncio.timeout(WAIT_S):
            await three.wait()  # none is answered before three are in flight
        assert len(busy) <= 3
        busy.discard(name)

    server.before = before
    server.instances = 3
    async with client(server, slots=3) as model:
        await asyncio.gather(*(model.infer(pictures(1, seed)) for seed in range(9)))
    assert not busy


async def test_a_silent_server_is_unavailable_and_its_slot_set_aside(server) -> None:
    go_on = asyncio.Event()

    async def before(server: ScriptedTriton, number: int) -> None:
        if number == 2:
            await go_on.wait()

    server.before = before
    async with client(server, slots=1, timeout_s=0.3) as model:
        with pytest.raises(ModelUnavailable, match="within"):
            await model.infer(pictures(1))
        image = pictures(1, seed=5)[0]
        answer = (await model.infer([image]))[0]
        np.testing.assert_array_equal(answer.mask, image > 128)
        first, second = (
            server.requests[index].inputs[0].parameters["shared_memory_region"].string_param
            for index in (1, -1)
        )
        assert first != second
        ring = model._link.ring
        assert ring.aside == 1
        go_on.set()
        await late_answers(model)
        assert ring.aside == 0


async def test_a_cancelled_call_sets_its_slot_aside(server) -> None:
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def before(server: ScriptedTriton, number: int) -> None:
        if number == 2:
            arrived.set()
            await go_on.wait()

    server.before = before
    async with client(server, slots=1) as model:
        call = asyncio.create_task(model.infer(pictures(1)))
        await arrived.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert model._link.ring.aside == 1
        assert len(await model.infer(pictures(1))) == 1
        go_on.set()
        await late_answers(model)
        assert model._link.ring.aside == 0


@pytest.mark.parametrize(
    "refusal",
    [
        (grpc.StatusCode.INTERNAL, "Unable to open shared memory region: '/x'"),
        (grpc.StatusCode.UNIMPLEMENTED, "client shared memory is not allowed"),
    ],
)
async def test_tensors_go_over_grpc_where_shared_memory_is_refused(server, refusal, caplog) -> None:
    server.refuse_regions = refusal
    async with client(server) as model:
        image = pictures(1)[0]
        answer = (await model.infer([image]))[0]
        np.testing.assert_array_equal(answer.mask, image > 128)
        assert not model.uses_shared_memory
    assert "over gRPC" in caplog.text


async def test_tensors_go_over_grpc_where_dev_shm_is_full(server, monkeypatch, caplog) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)
    before = our_regions()
    async with client(server) as model:
        assert len(await model.infer(pictures(1))) == 1
        assert our_regions() == before
    assert "no room" in caplog.text


def test_regions_of_dead_processes_are_swept() -> None:
    code = (
        "import os; from engine.infer.slots import Slots; "
        "slot = Slots(1, 1, (4, 4)).take(); "
        # Linked under a second name, since the interpreter's tracker unlinks the first.
        "os.link(f'/dev/shm/{slot.name}', f'/dev/shm/{slot.name}1'); print(slot.name + '1'); "
        "slot.destroy()"
    )
    name = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout.strip()
    live = Slots(1, 1, (4, 4))
    slot = live.take()
    assert slot is not None
    live.release(slot)
    other = FOLDER / f"{PREFIX}-not-ours"
    other.touch()
    try:
        assert (FOLDER / name).exists()
        assert sweep() >= 1
        assert not (FOLDER / name).exists()
        assert (FOLDER / slot.name).exists()
        assert other.exists()
    finally:
        other.unlink()
        live.close()
    assert not Path(FOLDER / slot.name).exists()


def test_too_many_slots_set_aside_mean_no_shared_memory() -> None:
    slots = Slots(1, 1, (4, 4))
    try:
        for _ in range(4):
            slot = slots.take()
            assert slot is not None
            slots.set_aside(slot)
        assert slots.take() is None
        slots.forget(())
        assert slots.aside == 0
        slot = slots.take()
        assert slot is not None
        slots.release(slot)
    finally:
        slots.close()
