"""The Triton client: the contract on the fake and on the real server, faults on a scripted one."""

from __future__ import annotations

from collections.abc import AsyncIterator

import grpc
import pytest
from model_contract import MAX_BATCH, FakeModel, ModelContract, pictures
from scripted_triton import ScriptedTriton, client
from watching import first_answer

from engine.errors import FrameError, ModelUnavailable
from engine.infer import TritonModel
from engine.novelty import Range


class TestFakeModel(ModelContract):
    @pytest.fixture
    def model(self) -> FakeModel:
        return FakeModel()


class TestScripted(ModelContract):
    @pytest.fixture
    async def model(self, server: ScriptedTriton) -> AsyncIterator[TritonModel]:
        async with client(server) as model:
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


async def test_the_budget_becomes_microseconds_of_queue_time(server) -> None:
    async with client(server) as model:
        await model.infer(pictures(1), budget_ms=12.5)
        assert server.requests[-1].parameters["timeout"].int64_param == 12_500
        await model.infer(pictures(1), budget_ms=-3.0)
        assert "timeout" not in server.requests[-1].parameters
        await model.infer(pictures(1))
        assert "timeout" not in server.requests[-1].parameters


@pytest.mark.parametrize(("budget_ms", "late"), [(0.001, True), (60_000, False)])
async def test_what_waited_too_long_is_late_and_asked_for_again(server, budget_ms, late) -> None:
    """Its time is up, not the server: no other connection, and no bound the second time.

    It is not late where the time was the model's own limit, and the budget is not spent.
    """

    async def before(server: ScriptedTriton, number: int) -> None:
        bounded = "timeout" in server.requests[number - 1].parameters
        expired = (grpc.StatusCode.UNAVAILABLE, "Request timeout expired")
        server.fail = expired if bounded else None

    async with client(server) as model:
        assert not (await model.infer(pictures(1), budget_ms=60_000))[0].late
        server.before = before
        registrations, sent = server.registrations, len(server.requests)
        found = await model.infer(pictures(2), budget_ms=budget_ms)
        assert [one.late for one in found] == [late, late]
        assert len(server.requests) == sent + 2
        assert server.registrations == registrations


@pytest.mark.parametrize("policy", [{"allow_override": False}, {"default_timeout_us": 0}])
async def test_a_model_without_queue_timeouts_is_sent_none(server, policy) -> None:
    """Triton does not take a request's timeout without a default one that is longer."""
    vars(server).update(policy)
    async with client(server) as model:
        await model.infer(pictures(1), budget_ms=12.5)
    assert "timeout" not in server.requests[-1].parameters


async def test_a_restarted_server_is_registered_with_again_in_the_same_call(server) -> None:
    async with client(server) as model:
        await model.infer(pictures(1))
        server.regions.clear()
        server.digest = "e" * 64
        answer = (await model.infer(pictures(1)))[0]
        assert answer.model.digest == "e" * 64
        assert server.registrations == 2


@pytest.mark.parametrize("shared_memory", [True, False])
async def test_a_restart_with_other_weights_is_noticed_without_about(server, shared_memory) -> None:
    """A plan's digest is in the configuration, which is read when a connection is made."""
    server.give_about, server.told_digest = False, "a" * 64
    async with client(server, shared_memory=shared_memory) as model:
        assert (await model.infer(pictures(1)))[0].model.digest == "a" * 64
        server.told_digest = "b" * 64
        await server.restart()
        answer = await first_answer(lambda: model.infer(pictures(1)), unless=ModelUnavailable)
        assert answer[0].model.digest == "b" * 64


async def test_another_model_is_noticed_with_the_first_answer(server) -> None:
    async with client(server, shared_memory=False) as model:
        server.digest = "e" * 64
        assert (await model.infer(pictures(1)))[0].model.digest == "e" * 64
        assert model.ref.digest == "e" * 64


async def test_a_server_that_went_is_unavailable_until_it_is_back(server) -> None:
    async with client(server, timeout_s=2) as model:
        await model.infer(pictures(1))
        await server.stop()
        for _ in range(3):
            with pytest.raises(ModelUnavailable):
                await model.infer(pictures(1))
        assert model._link.ring.aside <= 1
        server.regions.clear()
        await server.start()
        answer = await first_answer(lambda: model.infer(pictures(1)), unless=ModelUnavailable)
        assert len(answer) == 1
        assert model.uses_shared_memory
        assert model._link.ring.aside == 0


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
    async with client(server) as model:
        with pytest.raises(kind):
            await model.infer(pictures(1))
        server.before = server.fail = None
        assert len(await model.infer(pictures(1))) == 1


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
    with pytest.raises(ModelUnavailable, match="max_batch"):
        await model.start()
    await model.close()


async def test_a_model_without_about_is_unknown(server) -> None:
    server.give_about = False
    async with client(server) as model:
        assert model.ref.digest == "unknown"
        assert (await model.infer(pictures(1)))[0].model.version == "1"


async def test_the_trained_range_travels_with_the_model(server) -> None:
    async with client(server) as model:
        assert model.trained_range is None
    server.trained_range = '{"sharpness": [2, 8.5]}'
    async with client(server) as model:
        assert model.trained_range == Range({"sharpness": (2.0, 8.5)})


async def test_a_trained_range_that_cannot_be_read_does_not_pass_for_none(server) -> None:
    server.trained_range = '{"sharpness": [8, 2]}'
    model = TritonModel(server.address, "unet-lv", max_batch=1, slots=1, timeout_s=2)
    with pytest.raises(ModelUnavailable, match=r"unet-lv .*`trained_range`.*sharpness"):
        await model.start()
    await model.close()


async def test_several_labels(server) -> None:
    server.labels = "cavity, myocardium"
    async with client(server) as model:
        assert model.labels == ("cavity", "myocardium")
        assert len((await model.infer(pictures(1)))[0].confidence) == 2
