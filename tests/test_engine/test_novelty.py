"""Out of distribution: the features, the score, and the flag on a result."""

from __future__ import annotations

import json
import math
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import msgspec
import numpy as np
import pytest
from frame_messages import frame
from google.protobuf import text_format
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from model_contract import FakeModel
from scipy.ndimage import laplace
from tritonclient.grpc.model_config_pb2 import ModelConfig

from engine.cli import main
from engine.cli.builds import newest
from engine.enhance import enhance_array
from engine.errors import ConfigError
from engine.infer import TritonModel
from engine.local.stack import MODELS
from engine.messages import FrameMessage, Result
from engine.novelty import OUT_OF_DISTRIBUTION, Range, score
from engine.phantom import Phantom
from engine.pipeline import Pipeline
from engine.postprocess import features
from engine.routes import Routes
from engine.store import LocalStore
from engine.training import ranges, strangers
from engine.training.data import Slice

SHAPE = (256, 256)
EMPTY = np.zeros(SHAPE, np.uint8)
RANGE = Range({"sharpness": (2.0, 8.0), "mask_confidence": (0.5, 1.0)})


def noise(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, SHAPE, dtype=np.uint8)


class TestScore:
    @pytest.mark.parametrize("sharpness", [2.0, 5.0, 8.0])
    def test_is_0_inside(self, sharpness: float) -> None:
        assert score({"sharpness": sharpness, "mask_confidence": 0.9}, RANGE) == 0

    def test_is_the_largest_excess_in_widths(self) -> None:
        assert score({"sharpness": 11.0, "mask_confidence": 0.9}, RANGE) == 0.5
        assert score({"sharpness": 1.4, "mask_confidence": 0.25}, RANGE) == 0.5

    def test_what_is_not_there_does_not_count(self) -> None:
        assert score({"sharpness": 5.0}, RANGE) == 0
        assert score({"contrast": 1e9}, RANGE) == 0

    @given(
        st.floats(allow_nan=False, allow_infinity=False),
        st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)).filter(lambda one: one[0] < one[1]),
    )
    def test_is_never_negative_nor_nan(self, value: float, pair: tuple[float, float]) -> None:
        assert score({"a": value}, Range({"a": pair})) >= 0


class TestRange:
    def test_reads_what_it_writes(self) -> None:
        assert Range.parse(str(RANGE)) == RANGE

    @pytest.mark.parametrize("text", ["", "nonsense", "[]", "{}", "7", "null"])
    def test_refuses_what_is_no_range(self, text: str) -> None:
        with pytest.raises(ConfigError, match="trained range"):
            Range.parse(text)

    def test_has_no_feature_without_a_width(self) -> None:
        with pytest.raises(ConfigError, match=r"a is not .* with LOW below HIGH"):
            ranges.fitted([[{"a": 1.0}, {"a": 1.0}]], 0.1)

    @pytest.mark.parametrize("pair", ["3", "[1]", "[2, 1]", "[1, 1]", "[NaN, 1]", '["1", 2]'])
    def test_names_the_feature_that_is_wrong(self, pair: str) -> None:
        with pytest.raises(ConfigError, match="sharpness"):
            Range.parse(f'{{"contrast": [0, 1], "sharpness": {pair}}}')


class TestFeatures:
    def test_of_a_blank_picture(self) -> None:
        found = features(np.full(SHAPE, 128, np.uint8), SHAPE, EMPTY, (0.0,))
        assert found == {
            "sharpness": 0,
            "contrast": 0,
            "skewness": 0,
            "bright_share": 0,
            "mask_share": 0,
        }

    def test_of_noise(self) -> None:
        found = features(noise(), SHAPE, EMPTY, (0.0,))
        edges = laplace(noise().astype(float))[1:-1, 1:-1]
        assert found["sharpness"] == pytest.approx(math.log2(1 + np.abs(edges).mean()))
        assert found["contrast"] == pytest.approx(255 / math.sqrt(12), rel=0.02)
        assert abs(found["skewness"]) < 0.05
        assert found["bright_share"] == pytest.approx(1 / 8, rel=0.05)

    def test_of_a_mask(self) -> None:
        mask = EMPTY.copy()
        mask[:64], mask[64:96] = 1, 2
        assert features(noise(), SHAPE, mask, (0.9, 0.7))["mask_confidence"] == 0.7
        assert features(noise(), SHAPE, mask, (0.9, 0.7, 0.1))["mask_confidence"] == 0.7
        assert features(noise(), SHAPE, mask, (0.9, 0.7))["mask_share"] == 0.375

    def test_the_letterbox_does_not_count(self) -> None:
        inside = noise()[:, :128]
        image, mask = EMPTY.copy(), EMPTY.copy()
        image[:, 64:192], mask[:, 64:128] = inside, 1
        found = features(image, (512, 256), mask, (0.9,))
        assert found["mask_share"] == 0.5
        assert found["contrast"] == pytest.approx(float(inside.std()))

    @given(arrays(np.uint8, (16, 16)), st.integers(1, 4000), st.integers(1, 4000))
    def test_are_finite(self, image: np.ndarray, rows: int, columns: int) -> None:
        found = features(image, (rows, columns), (image > 200).astype(np.uint8), (0.5,))
        assert all(math.isfinite(value) for value in found.values())


class TestFitting:
    training = (
        [{"a": float(value)} for value in range(1001)],
        [{"a": 900.0, "b": 1.0}, {"b": 2.0}],
    )

    def test_the_range_covers_the_middle_and_is_widened(self) -> None:
        assert ranges.fitted(self.training[:1], 0.0).bounds == {"a": (5.0, 995.0)}
        assert ranges.fitted(self.training[:1], 0.1).bounds == {"a": (-94.0, 1094.0)}

    def test_the_range_covers_every_source(self) -> None:
        bounds = ranges.fitted([*self.training, [{"a": 2000.0}]], 0.0).bounds
        assert bounds == {"a": (5.0, 2000.0), "b": (1.005, 1.995)}

    def test_validation_chooses_the_smallest_margin_that_does(self) -> None:
        trained, margin = ranges.chosen(self.training, [[{"a": 1050.0}], [{"a": 0.0}]])
        assert margin == 0.1
        assert score({"a": 1050.0}, trained) == 0

    def test_rates_are_of_each_group(self) -> None:
        inside = [{"a": 500.0}]
        known = dict(zip(("training", "training, phantoms"), self.training, strict=True))
        known |= {"validation": inside, "validation, phantoms": inside}
        found = ranges.report(known, {"others": [{"a": 500.0}, {"a": 5000.0}]}).as_json()
        rates = {row["group"]: row["share"] for row in found["groups"]}
        assert rates["validation"] == 0
        assert rates["others"] == 0.5

    def test_strangers_are_pictures(self) -> None:
        pixels = Phantom(seed=3).image(5, 0)
        pixels = (pixels / pixels.max() * 255).astype(np.uint8)
        slices = [Slice(name="a", subject="a", pixels=pixels, mask=EMPTY)]
        groups = strangers.artificial(1) | strangers.spoiled(slices)
        for pictures in groups.values():
            assert all(image.shape == SHAPE and image.dtype == np.uint8 for image, _ in pictures)
        assert len(strangers.packaged()) >= 3
        sharp = {
            group: features(*pictures[0], EMPTY, (0.0,))["sharpness"]
            for group, pictures in groups.items()
        }
        assert sharp["blank"] == 0
        assert sharp["noise, uniform"] > sharp["hearts, inverted"] > sharp["hearts, blurred"]


@pytest.mark.parametrize("as_json", [True, False])
def test_the_command_prints_range_and_rates(
    as_json: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    uses = ("training", "training, phantoms", "validation", "validation, phantoms")
    hearts = [(enhance_array(Phantom(seed=5).image(5, phase), "cine"), SHAPE) for phase in (0, 9)]

    def predict(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        masks = (images[:, 0] > 200).astype(np.uint8)
        return masks, masks.mean(axis=(1, 2))[:, None]

    monkeypatch.setattr(ranges, "openvino_predictor", lambda *_: predict)
    monkeypatch.setattr(ranges, "known_pictures", lambda *_, **__: dict.fromkeys(uses, hearts))
    monkeypatch.setattr(ranges, "unknown_pictures", lambda _: {"noise": [(noise(), SHAPE)]})
    assert main(["model", "range", "--data", "DIR", *(["--json"] if as_json else [])]) == 0
    out = capsys.readouterr().out
    if as_json:
        found = json.loads(out)
        assert [row["group"] for row in found["groups"]] == [*uses, "noise"]
        assert found["groups"][-1]["share"] == 1.0
        Range.parse(json.dumps(found["trained_range"]))
    else:
        assert "not as in training" in out


def message(pixels: np.ndarray) -> FrameMessage:
    rows, columns = pixels.shape
    made = frame(
        pixels.astype("<u2").tobytes(),
        rows=rows,
        columns=columns,
        modality="MR",
        cardiac_number_of_images=20,
        keywords={"Modality": "MR", "CardiacNumberOfImages": 20.0},
    )
    return msgspec.structs.replace(made, deadline_ms=int((time.time() + 600) * 1000))


@asynccontextmanager
async def pipeline(
    model: FakeModel | TritonModel, store: LocalStore, preprocess: str = "direct"
) -> AsyncIterator[Pipeline]:
    made = Pipeline(
        routes=Routes.load(),
        models={"unet-lv": model},
        store=store,
        max_frame_bytes=2**24,
        max_batch=2,
        max_wait_s=0.001,
        slots=1,
        threads=1,
        preprocess=preprocess,
    )
    yield made
    await made.close()


@pytest.fixture
def store(settings: Callable) -> LocalStore:
    return LocalStore(settings().store)


@pytest.mark.parametrize("preprocess", ["direct", "dali"])
class TestResult:
    async def process(self, trained: Range | None, store: LocalStore, preprocess: str) -> Result:
        model = FakeModel()
        model.trained_range = trained
        async with pipeline(model, store, preprocess) as made:
            return await made.process(message(noise()))

    async def test_noise_is_flagged(self, store: LocalStore, preprocess: str) -> None:
        result = await self.process(Range({"sharpness": (2.0, 5.0)}), store, preprocess)
        assert result.quality == [OUT_OF_DISTRIBUTION]
        assert result.features["novelty"] > 0
        assert result.status == "ok"

    async def test_what_is_inside_is_not(self, store: LocalStore, preprocess: str) -> None:
        result = await self.process(Range({"sharpness": (0.0, 256.0)}), store, preprocess)
        assert result.quality == []
        assert result.features["novelty"] == 0

    async def test_no_range_no_score(self, store: LocalStore, preprocess: str) -> None:
        result = await self.process(None, store, preprocess)
        assert result.quality == []
        assert "novelty" not in result.features
        assert "sharpness" in result.features


@pytest.mark.triton
async def test_the_served_model_knows_its_range(triton: str, store: LocalStore) -> None:
    model = TritonModel(triton, "unet-lv", max_batch=2, slots=1, timeout_s=60)
    await model.start()
    try:
        async with pipeline(model, store) as made:
            heart = await made.process(message(Phantom(seed=5).image(5, 0)))
            flagged = [
                await made.process(message(noise().astype(np.uint16) * 16)),
                await made.process(message(np.full(SHAPE, 100))),
            ]
        assert heart.quality == []
        assert heart.features["novelty"] == 0
        assert all(one.quality == [OUT_OF_DISTRIBUTION] for one in flagged)
    finally:
        await model.close()


def test_the_committed_range_is_of_the_committed_model_and_features() -> None:
    written = (MODELS / "unet-lv" / "config.pbtxt").read_text()
    config = text_format.Parse(written, ModelConfig())
    trained = Range.parse(config.parameters["trained_range"].string_value)
    predict = ranges.openvino_predictor(newest(MODELS / "unet-lv"), threads=1)
    heart = (enhance_array(Phantom(seed=5).image(5, 0), "cine"), SHAPE)
    found, strange = ranges.measured([heart, (noise(), SHAPE)], predict)
    assert set(found) == set(trained.bounds)
    assert score(found, trained) == 0
    assert score(strange, trained) > 0
