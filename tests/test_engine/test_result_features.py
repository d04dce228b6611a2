"""The features that routes ask for: which there are, of what, and in which units."""

from __future__ import annotations

import json
import math
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import imagecodecs
import msgspec
import numpy as np
import pytest
from frame_messages import frame
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from model_contract import FakeModel

import kernels
from engine.decode.syntaxes import JPEG_BASELINE
from engine.enhance import modality_values
from engine.errors import ConfigError, EnhanceFailed
from engine.messages import FrameMessage, Result
from engine.pipeline import Pipeline
from engine.postprocess import (
    NOTHING,
    decode_mask,
    describe,
    needs_values,
    observe,
    warm,
)
from engine.postprocess.describe import GROUPS
from engine.routes import FEATURE_GROUPS, Route, Routes
from engine.store import LocalStore
from tests.test_kernels.frames import picture

LABELS = ("cavity", "myocardium")
MAPS = hnp.arrays(
    np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(0, 2)
)


def described(
    values: np.ndarray, label_map: np.ndarray, groups: tuple[str, ...] = GROUPS, spacing: Any = None
) -> dict[str, float]:
    observed = observe(values, groups) if needs_values(groups) else NOTHING
    return describe(observed, label_map, LABELS, groups, spacing)


def significant(features: dict[str, float], prefix: str) -> dict[str, float]:
    return {f"{prefix}.{name}": pytest.approx(value, rel=1e-5) for name, value in features.items()}


class TestDescribe:
    def test_routes_and_postprocess_know_the_same_groups(self) -> None:
        assert set(GROUPS) == set(FEATURE_GROUPS)

    @pytest.mark.parametrize("group", ["first_order", "gradient", "glcm"])
    @pytest.mark.parametrize("corner", [(0, 0), (20, 30), (53, 61)])
    def test_a_group_is_its_kernel_on_the_whole_frame(
        self, group: str, corner: tuple[int, int]
    ) -> None:
        values = picture((60, 70))
        label_map = np.zeros(values.shape, np.uint8)
        label_map[corner[0] : corner[0] + 12, corner[1] : corner[1] + 15] = 1
        label_map[5, 50:60] = 2
        want: dict[str, Any] = {}
        for value, label in enumerate(LABELS, start=1):
            of_label = getattr(kernels, group)(values, label_map == value)
            want |= significant(of_label, f"{label}.{group}")
        assert described(values, label_map, (group,)) == want

    def test_sizes_say_their_unit(self) -> None:
        label_map = np.zeros((30, 40), np.uint8)
        label_map[4:20, 5:30] = 1
        in_mm = described(label_map, label_map, ("shape",), (2.0, 0.5))
        assert in_mm["cavity.shape.area_mm2"] == 16 * 25
        in_pixels = described(label_map, label_map, ("shape",))
        assert in_pixels["cavity.shape.area_px"] == 16 * 25
        assert in_pixels["cavity.shape.perimeter_px"] == 2 * (15 + 24)
        for name in ("area_mm2", "perimeter_mm", "major_axis_mm", "minor_axis_mm"):
            assert f"cavity.shape.{name}" in in_mm
        for name in ("circularity", "eccentricity", "orientation"):
            assert f"cavity.shape.{name}" in in_mm
            assert f"cavity.shape.{name}" in in_pixels
        assert described(label_map, label_map, ("shape",), (0.0, 1.0)) == in_pixels

    def test_quality_is_of_the_whole_frame_with_or_without_a_mask(self) -> None:
        values = picture((40, 50), dtype=np.float32)
        want = {
            "image.quality.sharpness": pytest.approx(kernels.sharpness(values), rel=1e-5),
            "image.quality.noise": pytest.approx(kernels.noise(values), rel=1e-5),
        }
        assert described(values, np.zeros((40, 50), np.uint8), GROUPS) == want
        assert described(values, np.ones((40, 50), np.uint8), ("quality",)) == want

    def test_nothing_is_kept_of_pixels_that_no_region_needs(self) -> None:
        values = picture((40, 50))
        assert observe(values, ("shape", "quality")).values is None
        assert observe(values, ("glcm",)).values is values
        assert not needs_values(())
        assert not needs_values(("shape",))
        assert needs_values(("shape", "quality"))

    def test_no_groups_no_features(self) -> None:
        assert described(picture((4, 4)), np.ones((4, 4), np.uint8), ()) == {}

    @given(MAPS, st.sampled_from([0.0, -1e30, 1e308, 5e-324]))
    @settings(deadline=None, max_examples=40, derandomize=True)
    def test_every_number_is_finite(self, label_map: np.ndarray, large: float) -> None:
        values = np.arange(float(label_map.size)).reshape(label_map.shape)
        values[0, 0] = large
        with np.errstate(over="ignore", invalid="ignore"):
            found = described(values, label_map, GROUPS, (1.5, 0.5))
        assert all(map(math.isfinite, found.values()))

    def test_a_mask_of_one_pixel_has_every_feature(self) -> None:
        label_map = np.zeros((9, 9), np.uint8)
        label_map[3, 3] = 1
        found = described(picture((9, 9)), label_map)
        whole = described(picture((9, 9)), np.ones((9, 9), np.uint8))
        assert found.keys() == whole.keys()

    def test_warm_takes_any_groups(self) -> None:
        for groups in ((), ("shape",), GROUPS):
            warm(groups)

    def test_values_that_a_kernel_refuses_are_the_frames_fault(self) -> None:
        with pytest.raises(EnhanceFailed, match="NaN"):
            observe(np.full((4, 4), np.nan), ("quality",))


class TestRoutes:
    def test_an_unknown_group_is_named_with_the_known_ones(self, tmp_path: Any) -> None:
        file = tmp_path / "routes.toml"
        file.write_text(
            '[[route]]\nname="x"\nmatch={}\nchain="c"\nmodel="m"\nfeatures=["shape", "colour"]'
        )
        with pytest.raises(ConfigError, match=r"route x: .*colour.*first_order.*quality"):
            Routes.load(file)

    def test_what_all_routes_ask_for(self) -> None:
        groups = (["shape"], [], ["shape", "glcm"])
        routes = [Route(name="x", match={}, chain="c", model="m", features=one) for one in groups]
        assert Routes(routes).features == {"shape", "glcm"}

    def test_a_route_asks_for_nothing_unless_it_says_so(self) -> None:
        assert Route(name="x", match={}, chain="cine", model="m").features == []


def message(pixels: np.ndarray, **given: Any) -> FrameMessage:
    rows, columns = pixels.shape
    signed = {"pixel_representation": 1} if pixels.dtype == np.int16 else {}
    made = frame(
        pixels.tobytes(),
        rows=rows,
        columns=columns,
        modality="MR",
        **({"keywords": {"Modality": "MR"}, "pixel_spacing": (1.5, 1.5)} | signed | given),
    )
    return msgspec.structs.replace(made, deadline_ms=int((time.time() + 600) * 1000))


@pytest.fixture
def store(settings: Callable) -> LocalStore:
    return LocalStore(settings().store)


@asynccontextmanager
async def pipeline(
    store: LocalStore, groups: list[str], preprocess: str = "direct"
) -> AsyncIterator[Pipeline]:
    route = Route(
        name="mr", match={"Modality": "MR"}, chain="cine", model="unet-lv", features=groups
    )
    made = Pipeline(
        routes=Routes([route]),
        models={"unet-lv": FakeModel()},
        store=store,
        max_frame_bytes=2**24,
        max_batch=2,
        max_wait_s=0.001,
        slots=1,
        threads=1,
        preprocess=preprocess,
    )
    try:
        yield made
    finally:
        await made.close()


class TestResult:
    """Through the pipeline: the fake model marks what is bright in the enhanced picture."""

    async def process(self, store: LocalStore, groups: list[str], **given: Any) -> Result:
        pixels = picture((180, 200), dtype=np.int16)
        async with pipeline(store, groups) as made:
            return await made.process(message(pixels, **given))

    async def test_a_route_that_asks_gets_them_flat(self, store: LocalStore) -> None:
        result = await self.process(store, list(FEATURE_GROUPS))
        pixels = picture((180, 200), dtype=np.int16)
        mask = decode_mask(result.masks[0])
        label = result.masks[0].label
        for group in ("first_order", "gradient", "glcm"):
            want = significant(getattr(kernels, group)(pixels, mask), f"{label}.{group}")
            assert {name: result.features[name] for name in want} == want
        area = result.features[f"{label}.shape.area_mm2"]
        assert area == pytest.approx(result.findings[0].area_mm2, rel=1e-5)
        noise = result.features["image.quality.noise"]
        assert noise == pytest.approx(kernels.noise(pixels), rel=1e-5)
        assert json.loads(msgspec.json.encode(result))["features"] == result.features

    async def test_values_are_in_the_units_of_the_modality(self, store: LocalStore) -> None:
        stored = await self.process(store, ["first_order", "quality"])
        rescaled = await self.process(
            store, ["first_order", "quality"], rescale_slope=2.0, rescale_intercept=-1000.0
        )
        label = rescaled.masks[0].label
        low = min(picture((180, 200), dtype=np.int16)[decode_mask(rescaled.masks[0]) > 0])
        assert rescaled.features[f"{label}.first_order.min"] == 2 * low - 1000
        noise = stored.features["image.quality.noise"]
        assert rescaled.features["image.quality.noise"] == pytest.approx(2 * noise, rel=1e-5)

    async def test_a_route_that_does_not_ask_pays_nothing(
        self, store: LocalStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_: Any) -> None:
            raise AssertionError("nobody asked")

        monkeypatch.setattr("engine.pipeline.modality_values", fail)
        monkeypatch.setattr("engine.pipeline.observe", fail)
        for groups in ([], ["shape"]):
            result = await self.process(store, groups)
            dotted = {name.split(".")[1] for name in result.features if "." in name}
            assert dotted == set(groups)
            assert "sharpness" in result.features  # what novelty looks at has no dot

    async def test_no_mask_no_features_of_labels(self, store: LocalStore) -> None:
        async with pipeline(store, list(FEATURE_GROUPS)) as made:
            result = await made.process(message(np.full((64, 64), 7, np.int16)))
        assert result.masks == []
        dotted = {name for name in result.features if "." in name}
        assert dotted == {"image.quality.sharpness", "image.quality.noise"}

    async def test_inverted_and_coloured_frames_are_measured_as_they_are(
        self, store: LocalStore
    ) -> None:
        result = await self.process(
            store, ["first_order"], photometric_interpretation="MONOCHROME1"
        )
        label = result.masks[0].label
        # dark is low in the picture and high in the values: the mean is that of the pixels
        inside = picture((180, 200), dtype=np.int16)[decode_mask(result.masks[0]) > 0]
        assert result.features[f"{label}.first_order.mean"] == pytest.approx(
            inside.mean(), rel=1e-5
        )
        rgb = np.zeros((4, 5, 3), np.uint8)
        rgb[..., 1] = 100
        info = frame(
            b"", rows=4, columns=5, samples_per_pixel=3, photometric_interpretation="RGB"
        ).info
        np.testing.assert_allclose(modality_values(rgb, info), 58.7, rtol=1e-6)
        with pytest.raises(EnhanceFailed, match="header promises"):
            modality_values(rgb[:2], info)

    async def test_colour_is_in_the_space_of_its_codestream(self, store: LocalStore) -> None:
        rgb = np.stack([picture((90, 80), dtype=np.uint8, top=255, seed=i) for i in range(3)], -1)
        value = imagecodecs.jpeg8_encode(rgb, colorspace="RGB", outcolorspace="YCBCR")
        module = {"samples_per_pixel": 3, "bits_allocated": 8, "transfer_syntax_uid": JPEG_BASELINE}
        found = []
        async with pipeline(store, ["quality"]) as made:
            for said in ("YBR_FULL_422", "RGB"):
                one = message(rgb[..., 0], photometric_interpretation=said, **module)
                result = await made.process(msgspec.structs.replace(one, value=value))
                found.append(result.features)
        assert found[0] == found[1]

    async def test_they_are_the_same_through_dali(self, store: LocalStore) -> None:
        pixels = picture((180, 200), dtype=np.int16)
        found = []
        for preprocess in ("direct", "dali"):
            async with pipeline(store, list(FEATURE_GROUPS), preprocess) as made:
                found.append((await made.process(message(pixels))).features)
        assert found[0] == found[1]

    async def test_the_cine_route_asks_for_shape_and_quality(self) -> None:
        cine = next(route for route in Routes.load()._routes if route.name == "cine")
        assert cine.features == ["shape", "quality"]
