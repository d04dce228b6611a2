"""A candidate beside what serves: chosen frames, compared, bounded, never in the way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from frame_messages import frame
from model_contract import pictures
from scripted_triton import ScriptedTriton

from engine.batches import Segmented
from engine.cli.shadow import Pair
from engine.config import Settings
from engine.control import Shadow
from engine.control.shadow import WAITING, dice, differences, is_chosen
from engine.errors import ModelUnavailable
from engine.infer import Segmentation
from engine.infer.turns import PATIENCE_S
from engine.messages import ModelRef
from engine.serving import Candidate, LabelDifference, Serving, ShadowComparison
from streams.base import new_app
from streams.models import WorkerModels

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


class SlowToClose(FakeCandidate):
    """Gives its memory back only when told to."""

    def __init__(self, version: str) -> None:
        super().__init__(version)
        self.closing = asyncio.Event()
        self.may_close = asyncio.Event()

    async def close(self) -> None:
        self.closing.set()
        await self.may_close.wait()
        await super().close()


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


async def test_a_candidate_that_is_ending_gives_its_memory_back() -> None:
    models = [SlowToClose("2"), SlowToClose("3")]

    async def publish(*_: object) -> None:
        return None

    shadow = Shadow(lambda version: models[int(version) - 2], publish)
    shadow.set(candidate())
    await asyncio.sleep(0)
    shadow.set(candidate(version="3"))
    await models[0].closing.wait()
    shadow.set(None)
    ending = asyncio.create_task(shadow.close())
    await asyncio.sleep(0)
    for model in models:
        model.may_close.set()
    async with asyncio.timeout(LIMIT_S):
        await ending
    assert models[0].closed


async def test_a_candidate_that_hangs_keeps_nobody_from_the_model(
    server: ScriptedTriton, monkeypatch: pytest.MonkeyPatch
) -> None:
    hangs = asyncio.Event()

    async def before(server: ScriptedTriton, number: int) -> None:
        if server.requests[number - 1].model_version == "2" and number > 2:  # not as it connects
            hangs.set()
            await asyncio.Event().wait()

    server.before = before
    settings = Settings(triton=server.address)
    models = WorkerModels(new_app("test", settings), settings, frozenset({"unet-lv"}))
    monkeypatch.setattr(models._control, "start", no_records)
    monkeypatch.setattr(models._control, "follow", lambda *_: None)
    await models.start()
    serving, beside = models.clients["unet-lv"], models._candidate("unet-lv", "2")
    await serving.start()
    hanging = asyncio.create_task(beside.infer(pictures(1)))
    await hangs.wait()
    async with asyncio.timeout(PATIENCE_S / 2):
        assert len(await serving.infer(pictures(1))) == 1
    hanging.cancel()
    await asyncio.gather(hanging, return_exceptions=True)
    await beside.close()
    await models.close()


async def no_records() -> dict[str, Serving]:
    return {}


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


def test_comparisons_are_summed_up() -> None:
    pair = Pair()
    for number, (dice_, after) in enumerate([(0.5, 0.7), (1.0, 0.9), (0.9, 1.0)]):
        difference = LabelDifference(label="lv", dice=dice_, confidence=(0.8, after))
        pair.add(
            ShadowComparison(
                id=f"{number:032x}",
                frame_id="1/1",
                served=ref("1"),
                candidate=ref("2"),
                labels=[difference],
                infer_ms=10.0 * number,
                dropped=number,
                failed=1,
                at_ns=1,
            )
        )
    row = pair.row(ref("2"), ref("1"))
    assert (row["frames"], row["dropped"], row["failed"], row["mean_infer_ms"]) == (3, 3, 3, 10.0)
    assert (row["candidate"]["version"], row["served"]["version"]) == ("2", "1")
    assert row["labels"]["lv"] == {
        "mean_dice": 0.8,
        "lowest_dice": 0.5,
        "mean_confidence_gained": 0.0667,
        "largest_confidence_apart": 0.2,
    }
