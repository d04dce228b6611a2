"""The Triton client: the contract on the fake and on the real server, faults on a scripted one."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import numpy as np
import pytest
from model_contract import MAX_BATCH, FakeModel, ModelContract, pictures
from scripted_triton import ScriptedTriton

from engine.errors import ConfigError, FrameError, ModelUnavailable
from engine.infer import TritonModel
from engine.infer.slots import FOLDER, PREFIX, Slots, sweep

WAIT_S = 10.0


class TestFakeModel(ModelContract):
    @pytest.fixture
    def model(self) -> FakeModel:
        return FakeModel()


class TestScripted(ModelContract):
    @pytest.fixture
    async def model(self, server: ScriptedTriton) -> AsyncIterator[TritonModel]:
        async with _client(server) as model:
            yield model


@pytest.mark.triton
@pytest.mark.parametrize("shared_memory", [True, False])
class TestTriton(ModelContract):
    @pytest.fixture
    async def model(self, triton: str, shared_memory: bool) -> AsyncIterator[TritonModel]:
        model = TritonModel(
            triton,
            "unet-lv",
            max_batch=MAX_BATCH,
            slots=2,
            timeout_s=60,
            shared_memory=shared_memory,
        )
        await model.start()
        assert model.uses_shared_memory is shared_memory
        yield model
        await model.close()


@asynccontextmanager
async def _client(server: ScriptedTriton, **given) -> AsyncIterator[TritonModel]:
    """Give a started client of the scripted server."""
    options = {"max_batch": MAX_BATCH, "slots": 2, "timeout_s": WAIT_S, **given}
    model = TritonModel(server.address, "unet-lv", **options)
    await model.start()
    yield model
    await model.close()


@pytest.fixture
async def server() -> AsyncIterator[ScriptedTriton]:
    server = ScriptedTriton()
    await server.start()
    yield server
    await server.stop()


def our_regions() -> set[str]:
    return {path.name for path in FOLDER.glob(f"{PREFIX}-*")}


async def until(condition, what: str) -> None:
    """Wait until `condition()` holds; fail after a deadline."""
    async with asyncio.timeout(WAIT_S):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.01)
    assert condition(), what


async def test_each_region_is_registered_once_and_unlinked_at_close(server) -> None:
    before = our_regions()
    async with _client(server) as model:
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
    at_once = 0

    async def before(server: ScriptedTriton, number: int) -> None:
        nonlocal at_once
        parameters = server.requests[number - 1].inputs[0].parameters
        if "shared_memory_region" not in parameters:
            return  # the client's first look
        name = parameters["shared_memory_region"].string_param
        assert name not in busy
        busy.add(name)
        at_once = max(at_once, len(busy))
        await asyncio.sleep(0.01)
        busy.discard(name)

    server.before = before
    async with _client(server, slots=3) as model:
        await asyncio.gather(*(model.infer(pictures(1, seed)) for seed in range(9)))
    assert at_once == 3


async def test_the_budget_becomes_microseconds_of_queue_time(server) -> None:
    async with _client(server) as model:
        await model.infer(pictures(1), budget_ms=12.5)
        assert server.requests[-1].parameters["timeout"].int64_param == 12_500
        await model.infer(pictures(1), budget_ms=-3.0)
        assert "timeout" not in server.requests[-1].parameters
        await model.infer(pictures(1))
        assert "timeout" not in server.requests[-1].parameters


async def test_a_model_without_queue_timeouts_is_told_and_sent_none(server, caplog) -> None:
    server.allow_override = False
    async with _client(server) as model:
        await model.infer(pictures(1), budget_ms=12.5)
    assert "timeout" not in server.requests[-1].parameters
    assert "queue timeout" in caplog.text


async def test_a_silent_server_is_unavailable_and_its_slot_set_aside(server) -> None:
    go_on = asyncio.Event()

    async def before(server: ScriptedTriton, number: int) -> None:
        if number == 2:
            await go_on.wait()

    server.before = before
    async with _client(server, slots=1, timeout_s=0.3) as model:
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
        ring = model._ring
        assert ring.aside == 1
        go_on.set()
        await until(lambda: ring.aside == 0, "the late answer frees the slot")


async def test_a_cancelled_call_sets_its_slot_aside(server) -> None:
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def before(server: ScriptedTriton, number: int) -> None:
        if number == 2:
            arrived.set()
            await go_on.wait()

    server.before = before
    async with _client(server, slots=1) as model:
        call = asyncio.create_task(model.infer(pictures(1)))
        await arrived.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert model._ring.aside == 1
        assert len(await model.infer(pictures(1))) == 1
        go_on.set()
        await until(lambda: model._ring.aside == 0, "the late answer frees the slot")


async def test_a_restarted_server_is_registered_with_again_in_the_same_call(server) -> None:
    async with _client(server) as model:
        await model.infer(pictures(1))
        server.regions.clear()
        server.digest = "e" * 64
        answer = (await model.infer(pictures(1)))[0]
        assert answer.model.digest == "e" * 64
        assert server.registrations == 2


async def test_another_model_is_noticed_with_the_first_answer(server) -> None:
    async with _client(server, shared_memory=False) as model:
        server.digest = "e" * 64
        assert (await model.infer(pictures(1)))[0].model.digest == "e" * 64
        assert model.ref.digest == "e" * 64


async def test_a_server_that_went_is_unavailable_until_it_is_back(server) -> None:
    async with _client(server, timeout_s=2) as model:
        await model.infer(pictures(1))
        await server.stop()
        for _ in range(3):
            with pytest.raises(ModelUnavailable):
                await model.infer(pictures(1))
        assert model._ring.aside <= 1
        server.regions.clear()
        await server.start()
        async with asyncio.timeout(WAIT_S):
            while True:
                try:
                    answer = await model.infer(pictures(1))
                    break
                except ModelUnavailable:
                    await asyncio.sleep(0.05)
        assert len(answer) == 1
        assert model.uses_shared_memory
        assert model._ring.aside == 0


@pytest.mark.parametrize(
    ("status", "words", "kind"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, "unexpected shape", FrameError),
        (grpc.StatusCode.INTERNAL, "Failed to process the request", FrameError),
        (grpc.StatusCode.INTERNAL, "Stub process is not healthy", ModelUnavailable),
        (grpc.StatusCode.UNAVAILABLE, "Request timeout expired", ModelUnavailable),
        (grpc.StatusCode.UNAVAILABLE, "the server is stopping", ModelUnavailable),
        (grpc.StatusCode.NOT_FOUND, "Request for unknown model: 'unet-lv'", ModelUnavailable),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "too much", ModelUnavailable),
        (grpc.StatusCode.NOT_FOUND, "Unable to find shared memory region: 'x'", ModelUnavailable),
    ],
)
async def test_whose_fault_an_error_is(server, status, words, kind) -> None:
    async def before(server: ScriptedTriton, number: int) -> None:
        shared = "shared_memory_region" in server.requests[number - 1].inputs[0].parameters
        server.fail = (status, words) if shared else None

    server.before = before
    async with _client(server) as model:
        with pytest.raises(kind):
            await model.infer(pictures(1))
        server.before = server.fail = None
        assert len(await model.infer(pictures(1))) == 1


@pytest.mark.parametrize(
    "refusal",
    [
        (grpc.StatusCode.INTERNAL, "Unable to open shared memory region: '/x'"),
        (grpc.StatusCode.UNIMPLEMENTED, "client shared memory is not allowed"),
    ],
)
async def test_tensors_go_over_grpc_where_shared_memory_is_refused(server, refusal, caplog) -> None:
    server.refuse_regions = refusal
    async with _client(server) as model:
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
    async with _client(server) as model:
        assert len(await model.infer(pictures(1))) == 1
        assert our_regions() == before
    assert "no room" in caplog.text


async def test_no_server_is_unavailable() -> None:
    model = TritonModel("127.0.0.1:9", "unet-lv", max_batch=1, slots=1, timeout_s=2)
    with pytest.raises(ModelUnavailable):
        await model.start()
    await model.close()


async def test_an_unknown_model_is_unavailable(server) -> None:
    model = TritonModel(server.address, "nope", max_batch=1, slots=1, timeout_s=2)
    with pytest.raises(ModelUnavailable, match="unknown model"):
        await model.start()
    await model.close()


async def test_a_model_of_another_contract_is_unavailable(server) -> None:
    server.labels = ""
    model = TritonModel(server.address, "unet-lv", max_batch=1, slots=1, timeout_s=2)
    with pytest.raises(ModelUnavailable, match="contract"):
        await model.start()
    await model.close()


async def test_a_larger_batch_than_the_models_names_the_setting(server) -> None:
    model = TritonModel(server.address, "unet-lv", max_batch=9, slots=1, timeout_s=2)
    with pytest.raises(ConfigError, match="max_batch"):
        await model.start()
    await model.close()


async def test_a_model_without_about_is_unknown(server) -> None:
    server.give_about = False
    async with _client(server) as model:
        assert model.ref.digest == "unknown"
        assert (await model.infer(pictures(1)))[0].model.version == "1"


async def test_several_labels(server) -> None:
    server.labels = "cavity, myocardium"
    async with _client(server) as model:
        assert model.labels == ("cavity", "myocardium")
        assert len((await model.infer(pictures(1)))[0].confidence) == 2


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
