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
from engine.messages import ModelRef

FAR_S = 1e12
REF = ModelRef(name="fake", version="1", digest="0", precision="fp32")


class Model:
    """Fails on every batch that holds `poison`, as a server does; `away` fails on all.

    `late` is what it says of every answer.
    """

    labels = ("x",)
    trained_range = None

    def __init__(self, *, away: bool = False, late: bool = False) -> None:
        self.away = away
        self.late = late
        self.sizes: list[int] = []

    async def infer(
        self, images: Sequence[np.ndarray], *, budget_ms: float | None = None
    ) -> list[Any]:
        self.sizes.append(len(images))
        if self.away:
            raise ModelUnavailable("away")
        if any(image.max() == 255 for image in images):
            raise FrameError("the model fails on it")
        answer = {"confidence": (1.0,), "model": REF, "late": self.late}
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
