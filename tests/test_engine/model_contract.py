"""What every segmentation model must do, and a fake one that does it without a server."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest

from engine.errors import FrameError, ModelUnavailable
from engine.infer import Segmentation
from engine.messages import Lane, ModelRef

SHAPE = (256, 256)
MAX_BATCH = 4


class FakeModel:
    """Label 1 is where the image is over 128. `away` true makes every call fail."""

    labels = ("left-ventricle-cavity",)
    input_shape = SHAPE
    trained_range = None
    instances = 1

    def __init__(self, *, max_batch: int = MAX_BATCH, digest: str = "0" * 64) -> None:
        self.ref = ModelRef(name="fake", version="1", digest=digest, precision="fp32")
        self.away = False
        self.budgets_ms: list[float | None] = []
        self.batch_s: dict[int, float] = {}
        self._max_batch = max_batch

    async def start(self) -> None:
        """Answer at once."""

    async def close(self) -> None:
        """Hold nothing."""

    async def measure(self) -> dict[int, float]:
        """Say what costs nothing."""
        if self.away:
            raise ModelUnavailable("the fake model is away")
        self.batch_s = {1: 1e-6, self._max_batch: 1e-6}
        return self.batch_s

    async def infer(
        self,
        images: Sequence[np.ndarray],
        *,
        budget_ms: float | None = None,
        priority: Lane = "bulk",
    ) -> list[Segmentation]:
        """Segment by a threshold."""
        if len(images) > self._max_batch:
            raise ValueError(f"{len(images)} images, `max_batch` is {self._max_batch}")
        for image in images:
            if image.shape != SHAPE or image.dtype != np.uint8:
                raise FrameError(f"the image is {image.dtype} {image.shape}")
        await asyncio.sleep(0)
        if self.away:
            raise ModelUnavailable("the fake model is away")
        self.budgets_ms.append(budget_ms)
        masks = [(image > 128).astype(np.uint8) for image in images]
        return [
            Segmentation(mask, (float(mask.mean()),), self.ref, self.labels, self.trained_range)
            for mask in masks
        ]


def pictures(count: int, seed: int = 0) -> list[np.ndarray]:
    """Return `count` different images: a bright disc at a random place on dim noise."""
    rng = np.random.default_rng(seed)
    y, x = np.indices(SHAPE)
    images = []
    for _ in range(count):
        row, column, radius = rng.integers(60, 196), rng.integers(60, 196), rng.integers(10, 40)
        disc = (y - row) ** 2 + (x - column) ** 2 < radius**2
        noise = rng.integers(0, 60, SHAPE)
        images.append((disc * 160 + noise).astype(np.uint8))
    return images


class ModelContract:
    """Subclass it with a fixture `model`: started, `max_batch` MAX_BATCH, two slots or more."""

    async def test_says_what_it_is(self, model) -> None:
        assert model.input_shape == SHAPE
        assert model.labels
        assert model.ref.name
        assert model.ref.version
        assert model.ref.digest
        assert model.ref.precision

    async def test_answers_in_the_order_of_the_images(self, model) -> None:
        images = pictures(3)
        together = await model.infer(images)
        alone = [(await model.infer([image]))[0] for image in images]
        assert len(together) == 3
        for one, other in zip(together, alone, strict=True):
            # A batch may be computed in another order than one image: single pixels on the edge.
            assert np.count_nonzero(one.mask != other.mask) <= 4
            assert one.confidence == pytest.approx(other.confidence, abs=1e-3)

    async def test_mask_and_confidence_are_as_promised(self, model) -> None:
        for answer in await model.infer(pictures(2), budget_ms=10_000):
            assert answer.mask.shape == SHAPE
            assert answer.mask.dtype == np.uint8
            assert answer.mask.max() <= len(model.labels)
            assert len(answer.confidence) == len(model.labels)
            assert all(0 <= one <= 1 for one in answer.confidence)
            assert answer.model == model.ref
            assert answer.labels == model.labels
            assert answer.trained_range == model.trained_range

    async def test_masks_are_memory_of_their_own(self, model) -> None:
        first = (await model.infer(pictures(1)))[0].mask
        kept = first.copy()
        second = (await model.infer(pictures(1, seed=1)))[0].mask
        np.testing.assert_array_equal(first, kept)
        second[:] = 7
        np.testing.assert_array_equal(first, kept)

    async def test_calls_side_by_side_do_not_mix(self, model) -> None:
        images = pictures(6)
        alone = [(await model.infer([image]))[0].mask for image in images]
        answers = await asyncio.gather(*(model.infer([image]) for image in images))
        for answer, mask in zip(answers, alone, strict=True):
            assert np.count_nonzero(answer[0].mask != mask) <= 4

    async def test_read_only_images_are_taken(self, model) -> None:
        image = np.frombuffer(pictures(1)[0].tobytes(), np.uint8).reshape(SHAPE)
        assert len(await model.infer([image])) == 1

    async def test_no_images_no_answers(self, model) -> None:
        assert await model.infer([]) == []

    async def test_an_image_of_another_shape_is_the_frames_fault(self, model) -> None:
        with pytest.raises(FrameError):
            await model.infer([np.zeros((128, 128), np.uint8)])

    async def test_an_image_of_another_dtype_is_the_frames_fault(self, model) -> None:
        with pytest.raises(FrameError):
            await model.infer([np.zeros(SHAPE, np.int16)])

    async def test_measures_what_a_batch_takes(self, model) -> None:
        measured = await model.measure()
        assert {1, MAX_BATCH} <= set(measured)
        assert min(measured.values()) > 0
        assert model.batch_s is measured

    async def test_a_stat_batch_is_answered_as_any(self, model) -> None:
        assert len(await model.infer(pictures(2), priority="stat")) == 2

    async def test_more_than_max_batch_is_the_callers_fault(self, model) -> None:
        with pytest.raises(ValueError, match="max_batch"):
            await model.infer(pictures(MAX_BATCH + 1))
