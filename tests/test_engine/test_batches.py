"""What one frame may cost the others of its batch: nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from engine.batches import Batches
from engine.errors import FrameError, ModelUnavailable
from engine.messages import Lane, ModelRef

FAR_S = 1e12
REF = ModelRef(name="fake", version="1", digest="0", precision="fp32")


class Model:
    """Fails on every batch that holds `poison`, as a server does; `away` fails on all.

    `late` is what it says of every answer.
    """

    def __init__(self, *, away: bool = False, late: bool = False) -> None:
        self.away = away
        self.late = late
        self.sizes: list[int] = []
        self.batch_s = {1: 0.001, 8: 0.004}
        self.instances = 1

    async def measure(self) -> dict[int, float]:
        return self.batch_s

    async def infer(
        self,
        images: Sequence[np.ndarray],
        *,
        budget_ms: float | None = None,
        priority: Lane = "bulk",
    ) -> list[Any]:
        self.sizes.append(len(images))
        if self.away:
            raise ModelUnavailable("away")
        if any(image.max() == 255 for image in images):
            raise FrameError("the model fails on it")
        answer = {
            "confidence": (1.0,),
            "model": REF,
            "labels": ("x",),
            "trained_range": None,
            "late": self.late,
        }
        return [SimpleNamespace(mask=image, **answer) for image in images]


async def outcomes(model: Model, images: list[np.ndarray]) -> list[Any]:
    batches = Batches(model, max_batch=len(images), max_wait_s=0.01, in_flight=1)
    try:
        waiting = [batches.infer(image, FAR_S) for image in images]
        return await asyncio.gather(*waiting, return_exceptions=True)
    finally:
        await batches.close()


async def test_a_frame_that_the_model_fails_on_fails_alone() -> None:
    images = [np.full((2, 2), value, np.uint8) for value in (1, 255, 3, 4)]
    model = Model()
    found = await outcomes(model, images)
    assert [isinstance(one, FrameError) for one in found] == [False, True, False, False]
    assert [int(found[at].mask[0, 0]) for at in (0, 2, 3)] == [1, 3, 4]
    assert model.sizes == [4, 1, 1, 1, 1]


async def test_a_server_that_is_away_is_asked_once() -> None:
    model = Model(away=True)
    found = await outcomes(model, [np.zeros((2, 2), np.uint8)] * 4)
    assert all(isinstance(one, ModelUnavailable) for one in found)
    assert model.sizes == [4]


@pytest.mark.parametrize("count", [1, 3])
async def test_answers_go_to_their_frames(count: int) -> None:
    images = [np.full((2, 2), value, np.uint8) for value in range(count)]
    found = await outcomes(Model(), images)
    assert [int(one.mask[0, 0]) for one in found] == list(range(count))


@pytest.mark.parametrize("late", [False, True])
async def test_what_became_late_in_the_servers_queue_says_so(late: bool) -> None:
    found = await outcomes(Model(late=late), [np.zeros((2, 2), np.uint8)] * 2)
    assert [one.late for one in found] == [late, late]


class Gated(Model):
    """Answers a batch only when told to: `sizes` are those that began."""

    def __init__(self, *, instances: int = 1) -> None:
        super().__init__()
        self.instances = instances
        self.lanes: list[Lane] = []
        self.budgets_ms: list[float | None] = []
        self._go = asyncio.Semaphore(0)
        self._began = asyncio.Condition()

    async def infer(
        self,
        images: Sequence[np.ndarray],
        *,
        budget_ms: float | None = None,
        priority: Lane = "bulk",
    ) -> list[Any]:
        self.lanes.append(priority)
        async with self._began:
            answers = await super().infer(images)
            self._began.notify_all()
        await self._go.acquire()
        return answers

    async def began(self, count: int) -> None:
        async with asyncio.timeout(10), self._began:
            await self._began.wait_for(lambda: len(self.sizes) >= count)

    def answer(self, count: int = 1) -> None:
        for _ in range(count):
            self._go.release()


async def settle() -> None:
    """Let everything run that can run without time going by."""
    for _ in range(50):
        await asyncio.sleep(0)


@pytest.mark.parametrize("instances", [1, 2])
async def test_frames_gather_while_all_instances_are_busy(instances: int) -> None:
    """One batch more is made ready, and only once it is full."""
    model = Gated(instances=instances)
    batches = Batches(model, max_batch=4, max_wait_s=0.01, in_flight=5)
    image = np.zeros((2, 2), np.uint8)
    tasks = []
    for number in range(instances):
        tasks.append(asyncio.create_task(batches.infer(image, FAR_S)))
        await model.began(number + 1)
    tasks += [asyncio.create_task(batches.infer(image, FAR_S)) for _ in range(3)]
    await settle()
    assert model.sizes == [1] * instances
    tasks += [asyncio.create_task(batches.infer(image, FAR_S)) for _ in range(7)]
    await model.began(instances + 1)
    await settle()
    assert model.sizes == [1] * instances + [4]
    model.answer(2)
    await model.began(instances + 2)
    assert model.sizes[: instances + 2] == [1] * instances + [4, 4]
    model.answer(10)
    await asyncio.gather(*tasks)
    assert sum(model.sizes) == instances + 10
    await batches.close()


async def test_a_stat_frame_makes_its_batch_stat() -> None:
    model = Gated()
    batches = Batches(model, max_batch=4, max_wait_s=0.01, in_flight=5)
    image = np.zeros((2, 2), np.uint8)
    model.answer(9)
    await batches.infer(image, FAR_S)
    await batches.infer(image, FAR_S, "stat")
    assert model.lanes == ["bulk", "stat"]
    await batches.close()


async def test_a_pinned_version_is_decided_by_its_own_curve() -> None:
    model = Model()
    batches = Batches(model, max_batch=4, max_wait_s=0.01, in_flight=1)
    image = np.zeros((2, 2), np.uint8)
    await batches.infer(image, FAR_S)
    first = batches._batcher.curve
    await batches.infer(image, FAR_S)
    assert batches._batcher.curve is first
    model.batch_s = {1: 0.5, 4: 1.0}
    await batches.infer(image, FAR_S)
    assert batches._batcher.curve is not first
    assert batches._batcher.curve is not None
    assert batches._batcher.curve.seconds(4) > 0.5
    await batches.close()


async def test_the_model_is_measured_before_a_frame_comes() -> None:
    """The first frame may be a STAT one, and measuring takes as long as dozens of pictures."""
    model, measured = Model(), asyncio.Event()
    model.batch_s = {}

    async def measure() -> dict[int, float]:
        model.batch_s = {1: 0.001}
        measured.set()
        return model.batch_s

    model.measure = measure  # type: ignore[method-assign]
    batches = Batches(model, max_batch=4, max_wait_s=0.01, in_flight=1)
    async with asyncio.timeout(10):
        await measured.wait()
    await batches.close()


async def test_with_fixed_settings_the_model_is_not_measured() -> None:
    model = Model()
    model.batch_s = {}
    batches = Batches(model, max_batch=4, max_wait_s=0.01, in_flight=1, by_deadline=False)
    await batches.infer(np.zeros((2, 2), np.uint8), FAR_S)
    assert batches._batcher.curve is None
    assert model.batch_s == {}
    await batches.close()


@pytest.mark.parametrize("error", [ModelUnavailable("away for a moment"), ValueError("a defect")])
async def test_a_model_that_cannot_be_measured_is_asked_all_the_same(error: Exception) -> None:
    model = Model()
    model.batch_s = {}

    async def measure() -> dict[int, float]:
        raise error

    model.measure = measure  # type: ignore[method-assign]
    assert [one.late for one in await outcomes(model, [np.zeros((2, 2), np.uint8)])] == [False]
