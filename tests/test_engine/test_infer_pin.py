"""Which version answers: pinned by the client while batches are in flight, on the real Triton."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest
from gated_model import Gate, numbered
from model_contract import pictures
from scripted_triton import client

from engine.errors import ModelUnavailable
from engine.infer import TritonModel
from engine.infer.turns import Turns


@pytest.fixture
async def model(gated: tuple[str, Gate]) -> AsyncIterator[TritonModel]:
    """Without turns: blanks of one version pass while another computes."""
    gated[1].clear()
    model = TritonModel(gated[0], "gated", max_batch=4, slots=2, timeout_s=20, turns=False)
    await model.start()
    yield model
    await model.close()


@pytest.mark.triton
async def test_what_is_in_flight_ends_on_the_version_it_began_with(gated, model) -> None:
    gate = gated[1]
    await model.pin("1")
    assert (model.pinned, model.ref.version) == ("1", "1")
    early = asyncio.create_task(model.infer(numbered(1, 2)))
    await gate.until_begun(1)
    await model.pin("2")
    assert (model.pinned, model.ref.version) == ("2", "2")
    gate.pass_on(2)
    late = await model.infer(numbered(3))
    assert late[0].model.version == "2"
    assert late[0].model.digest == "2" * 64
    assert [one.model.version for one in await early] == ["1", "1"]
    assert [version for version, _ in gate.began()] == ["1", "2"]
    assert model.ref.version == "2"  # the answer of the old one does not take it back


@pytest.mark.triton
async def test_a_version_that_is_not_served_leaves_the_old_pin(gated, model) -> None:
    await model.pin("1")
    with pytest.raises(ModelUnavailable, match=r"version 9 is not pinned, 1 stays"):
        await model.pin("9")
    gated[1].pass_on()
    assert (await model.infer(numbered(1)))[0].model.version == "1"
    assert (model.pinned, model.state) == ("1", "closed")


@pytest.mark.triton
async def test_without_a_pin_triton_chooses_the_highest(gated, model) -> None:
    assert (model.pinned, model.ref.version) == ("", "2")
    await model.pin("1")
    await model.pin("")
    assert (model.pinned, model.ref.version) == ("", "2")
    assert set(model.batch_s) == {1, 4}
    assert all(seconds > 0 for seconds in model.batch_s.values())


async def test_a_pin_survives_a_restart_of_the_server(server) -> None:
    async with client(server) as model:
        await model.pin("7")
        server.regions.clear()
        await model.infer(pictures(1))
        assert {one.model_version for one in server.requests[-2:]} == {"7"}


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ({"labels": ""}, "contract"),
        ({"side": 128}, "it takes"),
        ({"fail": (grpc.StatusCode.INTERNAL, "no weights")}, "no weights"),
        ({"confidence": 2.0}, "confidence"),
    ],
)
async def test_a_version_that_breaks_the_contract_leaves_the_old_pin(server, broken, words) -> None:
    async with client(server) as model:
        kept = {name: getattr(server, name) for name in broken}
        vars(server).update(broken)
        with pytest.raises(ModelUnavailable, match=words):
            await model.pin("2")
        vars(server).update(kept)
        assert len(await model.infer(pictures(1))) == 1
        assert server.requests[-1].model_version == ""
        assert model.pinned == ""


async def test_a_version_that_does_not_answer_leaves_the_old_pin(server) -> None:
    async def before(server, number: int) -> None:
        if server.requests[number - 1].model_version == "2":
            await asyncio.Event().wait()

    server.before = before
    async with client(server, timeout_s=2) as model:
        with pytest.raises(ModelUnavailable, match="no answer within"):
            await model.pin("2")
        assert len(await model.infer(pictures(1))) == 1


async def test_pins_side_by_side_are_taken_one_after_the_other(server) -> None:
    async with client(server) as model:
        await asyncio.gather(*(model.pin(str(version)) for version in range(1, 6)))
        assert model.pinned == "5"


@pytest.mark.parametrize("mends", [True, False])
async def test_who_tries_a_version_out_does_not_end_those_that_serve(server, mends: bool) -> None:
    """To load a model again ends all its versions, whichever of them had lost its process."""
    server.fail = (grpc.StatusCode.INTERNAL, "Stub process 'unet-lv_2_0' is not healthy.")
    model = TritonModel(
        server.address, "unet-lv", version="2", max_batch=8, slots=1, timeout_s=20, mends=mends
    )
    try:
        with pytest.raises(ModelUnavailable, match="not healthy"):
            await model.start()
        assert server.unloads == int(mends)
    finally:
        await model.close()


async def test_blanks_take_turns_with_the_batches_of_this_host(server) -> None:
    async with client(server) as model:
        async with Turns(f"{server.address} unet-lv").turn(1):
            pin = asyncio.create_task(model.pin("2"))
            await asyncio.wait({pin}, timeout=0.2)
            assert not pin.done()
            asked = [one.model_version for one in server.requests]
            assert asked.count("2") <= 1  # the picture that tells which model it is
        await pin
    assert model.pinned == "2"
