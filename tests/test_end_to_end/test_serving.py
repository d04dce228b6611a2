"""Serving by the real Triton while it is killed, frozen, and lied to."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from tritonclient.grpc.aio import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException
from watching import first_answer

from engine.config import Settings
from engine.errors import ModelUnavailable
from engine.infer import Segmentation, TritonModel
from engine.infer.slots import FOLDER, PREFIX, Slots
from engine.local.stack import MODELS
from engine.local.triton import PREFIX as STUB_PREFIX
from engine.local.triton import Triton

pytestmark = pytest.mark.triton

TIMEOUT_S = 30.0
BACK_S = 60.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, triton: str) -> Iterator[Triton]:
    """A Triton of our own to be cruel to. `triton` says why where there can be none."""
    with Triton(tmp_path_factory.mktemp("cruel"), MODELS, Settings(model_threads=1)) as server:
        yield server


@pytest.fixture
async def model(server: Triton) -> AsyncIterator[TritonModel]:
    model = TritonModel(server.address, "unet-lv", max_batch=2, slots=2, timeout_s=TIMEOUT_S)
    await model.start()
    yield model
    await model.close()


def image(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (256, 256), dtype=np.uint8)


async def until_served(call: Callable[[], Awaitable[list[Segmentation]]]) -> list[Segmentation]:
    """Call again while the model is away; fail after a deadline."""
    return await first_answer(call, unless=ModelUnavailable, limit_s=BACK_S)


async def test_shared_memory_and_grpc_give_the_same(server: Triton, model: TritonModel) -> None:
    plain = TritonModel(
        server.address,
        "unet-lv",
        max_batch=2,
        slots=1,
        timeout_s=TIMEOUT_S,
        shared_memory=False,
    )
    await plain.start()
    try:
        assert model.uses_shared_memory
        assert not plain.uses_shared_memory
        ours, theirs = await model.infer([image()]), await plain.infer([image()])
        np.testing.assert_array_equal(ours[0].mask, theirs[0].mask)
        assert ours[0].confidence == theirs[0].confidence
        assert ours[0].model == theirs[0].model
        assert len(ours[0].model.digest) == 64
    finally:
        await plain.close()


async def test_a_killed_server_is_used_again_when_it_is_back(server, model) -> None:
    before = (await model.infer([image()]))[0]
    flight = asyncio.create_task(model.infer([image(1), image(2)]))
    await asyncio.sleep(0)
    os.kill(server.pid, signal.SIGKILL)
    with contextlib.suppress(ModelUnavailable):  # the answer may have been quicker than the kill
        await flight
    with pytest.raises(ModelUnavailable):
        await model.infer([image()])
    await asyncio.to_thread(server.restart)
    after = (await until_served(lambda: model.infer([image()])))[0]
    np.testing.assert_array_equal(after.mask, before.mask)
    assert after.model == before.model
    assert model.uses_shared_memory
    assert model._link.ring.aside == 0


async def test_a_frozen_server_does_not_hold_a_call_for_ever(server) -> None:
    model = TritonModel(server.address, "unet-lv", max_batch=2, slots=2, timeout_s=3)
    await until_served(lambda: _started(model))
    try:
        want = (await until_served(lambda: model.infer([image(1)])))[0].mask
        os.kill(server.pid, signal.SIGSTOP)
        try:
            async with asyncio.timeout(10):
                with pytest.raises(ModelUnavailable, match="within 3"):
                    await model.infer([image(0)])
            assert model._link.ring.aside == 1
        finally:
            os.kill(server.pid, signal.SIGCONT)
        got = (await until_served(lambda: model.infer([image(1)])))[0].mask
        np.testing.assert_array_equal(got, want)
        async with asyncio.timeout(BACK_S):
            await asyncio.gather(*model._link.ring._late)
        assert model._link.ring.aside == 0
    finally:
        await model.close()


async def _started(model: TritonModel) -> list[Segmentation]:
    await model.start()
    return []


async def test_a_killed_model_process_is_no_end(server, model) -> None:
    """Triton 2.51 does not start a stub again: the client loads the model again."""
    stubs = _stubs(server.pid)
    assert stubs
    for pid in stubs:
        os.kill(pid, signal.SIGKILL)
    with pytest.raises(ModelUnavailable, match="not healthy"):
        await model.infer([image()])
    answer = await until_served(lambda: model.infer([image()]))
    assert answer[0].mask.shape == (256, 256)


def _stubs(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task").glob("*/children")
    found = [int(child) for path in children for child in path.read_text().split()]
    return [child for child in found if "stub" in Path(f"/proc/{child}/cmdline").read_text()]


def test_n8_our_regions_are_never_tritons_own() -> None:
    slots = Slots(1, 1, (4, 4))
    slot = slots.take()
    assert slot is not None
    try:
        assert slot.name.startswith(f"{PREFIX}-")
        assert not slot.name.startswith(("triton_python_backend_shm_region_", STUB_PREFIX))
    finally:
        slots.release(slot)
        slots.close()


@pytest.mark.parametrize(
    ("offset", "size"),
    [
        (2**63 - 65536, 65536),
        (2**64 - 65536, 65536),
        (65536, 65536),
        (0, 2**63 - 1),
        (1, 65536),
        (0, 65535),
        (0, 0),
    ],
)
async def test_n8_offsets_and_sizes_that_wrap_are_refused(server, model, offset, size) -> None:
    client = InferenceServerClient(server.address)
    name = f"{PREFIX}-test-{os.getpid()}"
    (FOLDER / name).write_bytes(bytes(65536))
    try:
        await client.register_system_shared_memory(name, f"/{name}", 65536)
        sent = InferInput("image", [1, 1, 256, 256], "UINT8")
        sent.set_shared_memory(name, size, offset % 2**63)
        with pytest.raises(InferenceServerException):
            await client.infer("unet-lv", [sent], client_timeout=TIMEOUT_S)
        got = InferRequestedOutput("mask")
        got.set_shared_memory(name, size, offset % 2**63)
        whole = InferInput("image", [1, 1, 256, 256], "UINT8")
        whole.set_data_from_numpy(image()[None, None])
        with pytest.raises(InferenceServerException):
            await client.infer("unet-lv", [whole], outputs=[got], client_timeout=TIMEOUT_S)
        with pytest.raises(InferenceServerException):
            await client.register_system_shared_memory("wrapping", f"/{name}", 65536, offset=65536)
        assert len(await model.infer([image()])) == 1
    finally:
        await client.unregister_system_shared_memory(name)
        await client.close()
        (FOLDER / name).unlink()
