"""A candidate beside what serves: chosen frames, compared, bounded, never in the way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from frame_messages import frame

from engine.batches import Segmented
from engine.control import Shadow
from engine.control.shadow import WAITING, dice, differences, is_chosen
from engine.errors import ModelUnavailable
from engine.infer import Segmentation
from engine.messages import ModelRef
from engine.serving import Candidate, ShadowComparison

LIMIT_S = 20.0
FRAME = frame(b"\x00", rows=8, columns=8)


def ref(version: str) -> ModelRef:
    return ModelRef(name="unet", version=version, digest=version * 64, precision="fp32")


IMAGE = np.arange(64, dtype=np.uint8).reshape(8, 8)


def segmented(mask: np.ndarray, *, confidence: float = 0.9, version: str = "1") -> Segmented:
    return Segmented(
        image=IMAGE,
        mask=mask.astype(np.uint8),
        confidence=(confidence,),
        labels=("lv",),
        model=ref(version),
        trained_range=None,
        late=False,
        waited_ms=0.0,
        infer_ms=0.0,
    )


class FakeCandidate:
    """Says that everything over 31 is the label; `held` keeps it from answering."""

    def __init__(self, version: str) -> None:
        self.version = version
        self.away = False
        self.failed = asyncio.Event()
        self.free = asyncio.Event()
        self.free.set()
        self.closed = False

    async def infer(self, images: Sequence[np.ndarray]) -> list[Segmentation]:
        await self.free.wait()
        if self.away:
            self.failed.set()
            raise ModelUnavailable("the candidate is away")
        masks = [(image > 31).astype(np.uint8) for image in images]
        return [Segmentation(mask, (0.7,), ref(self.version), ("lv",)) for mask in masks]

    async def close(self) -> None:
        self.closed = True


class Rig:
    """A shadow whose candidate and topic are played by the test."""

    def __init__(self) -> None:
        self.models: list[FakeCandidate] = []
        self.published: list[tuple[ShadowComparison, str]] = []
        self.changed = asyncio.Event()
        self.shadow = Shadow(self._open, self._publish)

    def _open(self, version: str) -> FakeCandidate:
        self.models.append(FakeCandidate(version))
        return self.models[-1]

    async def _publish(self, comparison: ShadowComparison, series: str) -> None:
        wire = msgspec.json.encode(comparison)
        self.published.append((msgspec.json.decode(wire, type=ShadowComparison), series))
        self.changed.set()

    async def until(self, count: int) -> None:
        async with asyncio.timeout(LIMIT_S):
            while len(self.published) < count:
                self.changed.clear()
                await self.changed.wait()


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    made = Rig()
    yield made
    await made.shadow.close()
    assert all(model.closed for model in made.models)


def candidate(share: float = 1.0, version: str = "2") -> Candidate:
    return Candidate(version=version, digest=version * 64, share=share)


async def test_a_comparison_says_how_two_versions_differ(rig: Rig) -> None:
    rig.shadow.set(candidate())
    rig.shadow.offer(FRAME, segmented(IMAGE > 47))
    await rig.until(1)
    ((comparison, series),) = rig.published
    assert series == FRAME.info.series_instance_uid
    assert comparison.frame_id == FRAME.id
    assert comparison.served == ref("1")
    assert comparison.candidate == ref("2")
    (label,) = comparison.labels
    assert label.dice == pytest.approx(2 * 16 / (16 + 32))
    assert label.confidence == (0.9, 0.7)
    assert (comparison.dropped, comparison.failed) == (0, 0)


async def test_a_slow_candidate_drops_frames_and_counts_them(rig: Rig) -> None:
    rig.shadow.set(candidate())
    await asyncio.sleep(0)
    rig.models[0].free.clear()
    for _ in range(WAITING + 6):
        rig.shadow.offer(FRAME, segmented(IMAGE > 47))  # returns at once, always
        await asyncio.sleep(0)
    rig.models[0].free.set()
    await rig.until(WAITING + 1)  # one was in work already
    assert sum(one.dropped for one, _ in rig.published) == 5


async def test_a_candidate_that_is_away_is_counted_and_asked_again(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.control.shadow.FIRST_S", 0.01)
    rig.shadow.set(candidate())
    await asyncio.sleep(0)
    rig.models[0].away = True
    rig.shadow.offer(FRAME, segmented(IMAGE > 47))
    await rig.models[0].failed.wait()
    rig.models[0].away = False
    rig.shadow.offer(FRAME, segmented(IMAGE > 47))
    await rig.until(1)
    assert rig.published[0][0].failed == 1


async def test_off_another_candidate_and_what_serves_itself(rig: Rig) -> None:
    rig.shadow.offer(FRAME, segmented(IMAGE > 47))
    rig.shadow.set(candidate())
    rig.shadow.set(candidate())  # the same one goes on
    rig.shadow.offer(FRAME, segmented(IMAGE > 47, version="2"))  # not beside itself
    rig.shadow.offer(FRAME, segmented(IMAGE > 47))
    await rig.until(1)
    rig.shadow.set(candidate(version="3"))
    rig.shadow.offer(FRAME, segmented(IMAGE > 47))
    await rig.until(2)
    rig.shadow.set(None)
    rig.shadow.offer(FRAME, segmented(IMAGE > 47))
    await asyncio.sleep(0)
    assert [one.candidate.version for one, _ in rig.published] == ["2", "3"]
    assert [one.version for one in rig.models] == ["2", "3"]


def test_the_share_is_of_the_ids_and_always_the_same() -> None:
    ids = [f"2.25.{number}/1" for number in range(4000)]
    chosen = [one for one in ids if is_chosen(one, 0.25)]
    assert chosen == [one for one in ids if is_chosen(one, 0.25)]
    assert abs(len(chosen) - 1000) < 100  # 3.6 standard deviations
    assert set(chosen) <= {one for one in ids if is_chosen(one, 0.5)}
    assert all(is_chosen(one, 1.0) for one in ids)


def test_labels_are_compared_by_name() -> None:
    served = replace(
        segmented(np.array([[1, 2], [0, 2]])), labels=("lv", "rv"), confidence=(0.9, 0.8)
    )
    mask = np.array([[2, 1], [0, 0]], np.uint8)
    answer = Segmentation(mask, (0.6, 0.5), ref("2"), ("rv", "lv"))
    lv, rv = differences(served, answer)
    assert (lv.label, lv.dice, lv.confidence) == ("lv", 1.0, (0.9, 0.5))
    assert (rv.label, rv.confidence) == ("rv", (0.8, 0.6))
    assert rv.dice == pytest.approx(2 / 3)
    assert differences(served, replace(answer, labels=("myocardium", "aorta"))) == []


def test_dice_of_nothing_and_nothing_is_one() -> None:
    empty = np.zeros((2, 2), bool)
    assert dice(empty, empty) == 1.0
    assert dice(empty, ~empty) == 0.0
