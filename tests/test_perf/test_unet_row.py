"""The rows of the U-Net: the same weights on both sides, and no figure where none was taken."""

from __future__ import annotations

import hashlib
import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from tiny_transformer import transformer

from engine.builds.wrap import Meaning, Shapes, wrapped
from perf.__main__ import main
from perf.baselines.unet import onnx_runtime
from perf.compare.registry import entries
from perf.compare.report import as_markdown
from perf.rows import unet


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few frames, and no search for the best batch: what is compared stays the same."""
    for name, value in (("BATCHES", (1, 2)), ("FRAMES", 2), ("TRIES", 1)):
        monkeypatch.setattr(unet, name, value)
    monkeypatch.setattr(unet, "HEARTS", 1)
    monkeypatch.setattr(unet, "PER_HEART", 2)
    monkeypatch.setattr(unet, "_pictures", unet._pictures.__wrapped__)


@pytest.fixture
def version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A version of our own: the served weights as model.onnx, and no int8 yet."""
    (tmp_path / "model.onnx").symlink_to(unet.folder() / "model.onnx")
    monkeypatch.setenv("PERF_MODEL", str(tmp_path))
    monkeypatch.delenv("PERF_DATA", raising=False)
    return tmp_path


def another_network() -> onnx.ModelProto:
    """Return a network that keeps the contract and finds something else."""
    shapes = Shapes(
        input_name="pixels",
        input_type=onnx.TensorProto.FLOAT,
        channels=1,
        input_side=128,
        output_name="logits",
        output_side=128,
        planes=1,
    )
    return wrapped(transformer(1), shapes, Meaning(labels=("cavity",)))


def test_both_sides_find_the_same_with_the_same_weights(small: None, version: Path) -> None:
    (row,) = entries(["unet/fp32"])
    prepared = row.prepare()
    equal, note = prepared.equal()
    assert equal, note
    assert prepared.work == 2
    assert "lost 0.0000" in note
    assert "convolutions in" in note
    prepared.ours()
    prepared.theirs()


def test_other_masks_are_not_equal(small: None, version: Path) -> None:
    onnx.save(another_network(), version / "model.int8.onnx")
    (row,) = entries(["unet/int8"])
    assert row.missing() == ""
    equal, note = row.prepare().equal()
    assert not equal, note


def test_a_build_of_other_weights_is_not_measured(version: Path) -> None:
    (version / "model.int8.onnx").write_bytes(b"int8")
    digest = hashlib.sha256((version / "model.onnx").read_bytes()).hexdigest()
    for source, reason in ((digest, ""), ("0" * 64, "built from another model.onnx")):
        (version / "model.int8.json").write_text(json.dumps({"source_sha256": source}))
        assert reason in unet.missing("int8")
        assert bool(unet.missing("int8")) == bool(reason)


def test_the_rival_answers_any_batch_as_its_frames_alone(version: Path) -> None:
    onnx.save(another_network(), version / "other.onnx")
    run = onnx_runtime(version / "other.onnx")
    images = np.random.default_rng(0).integers(0, 256, (3, 1, 256, 256), np.uint8)
    together = run(images)[0].copy()
    assert 0 < together.mean() < 1
    np.testing.assert_array_equal(together, [run(image[None])[0][0].copy() for image in images])


def test_a_build_that_is_not_there_is_not_measured(
    version: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.md"
    assert main(["compare", "unet/int8", "--json", "-", "--markdown", str(page)]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["rows"] == []
    assert "model.int8.onnx is not built" in report["not_measured"]["unet/int8"]
    assert page.read_text() == as_markdown(report)
    assert "`unet/int8`: **not measured**: model.int8.onnx" in page.read_text()


@pytest.mark.parametrize(
    ("able", "reason"), [(["FP32", "INT8"], "FP32, INT8"), (["FP32", "BF16"], "")]
)
def test_bf16_is_measured_where_the_processor_has_it(
    version: Path, monkeypatch: pytest.MonkeyPatch, able: list[str], reason: str
) -> None:
    class Core:
        def get_property(self, *_: str) -> list[str]:
            return able

    monkeypatch.setattr(unet.openvino, "Core", Core)
    told = unet.missing("bf16")
    assert reason in told
    assert bool(told) == bool(reason)
    assert unet.missing("fp32") == ""


def test_the_fastest_batch_is_the_one_with_the_least_time_a_frame(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = {"s": 0.0}
    monkeypatch.setattr(unet.time, "perf_counter", lambda: clock["s"])

    def run(images: np.ndarray, cost: dict[int, float]) -> Any:
        clock["s"] += cost[len(images)]

    cost = {1: 1.0, 2: 1.5, 4: 4.0, 8: 7.0}  # seconds a batch
    images = np.zeros((8, 1, 2, 2), np.uint8)
    assert unet.fastest(partial(run, cost=cost), images) == 2
