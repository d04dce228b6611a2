"""Builds of the committed model: right ones are kept with their provenance, wrong ones refused."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from middle_slices import middle_slices
from PIL import Image

from engine.builds import TARGETS, Build, Request, build, openvino_target, pictures, target_of
from engine.builds.provenance import digest
from engine.cli import main
from engine.cli.builds import PRECISIONS, newest
from engine.cli.builds import TARGETS as OFFERED
from engine.errors import BuildRefused, ConfigError
from engine.local.stack import MODELS
from engine.training.evaluate import dice

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

SOURCE = newest(MODELS / "unet-lv")


def quiet(_: str) -> None:
    """Say nothing."""


def write_data(folder: Path, *, noise: bool) -> Path:
    """Write labelled phantom slices of two subjects; the one to calibrate on may be noise."""
    (folder / "images").mkdir(parents=True)
    (folder / "labels").mkdir()
    rng = np.random.default_rng(3)
    for subject, seed in (("SC-HF-I-07", 1), ("SC-N-05", 2)):
        for number, one in enumerate(middle_slices(seed)):
            wrong = noise and seed == 1
            grey = rng.integers(0, 256, one.pixels.shape) if wrong else scaled(one.pixels)
            name = f"{subject}-IM-{number:04}.png"
            Image.fromarray(grey.astype(np.uint8)).save(folder / "images" / name)
            Image.fromarray(one.mask * 255).save(folder / "labels" / name)
    return folder


def scaled(pixels: np.ndarray) -> np.ndarray:
    return pixels.astype(np.float32) * (255 / pixels.max())


@pytest.fixture(autouse=True)
def few_phantoms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "phantoms", middle_slices)


@pytest.fixture(scope="module")
def int8(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """The int8 build for OpenVINO, calibrated on phantoms."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pictures, "phantoms", middle_slices)
        return build(request(tmp_path_factory.mktemp("int8"), "openvino", "int8"), quiet)


def request(out: Path, target: str, precision: str, **more: Any) -> Request:
    return Request(source=SOURCE, target=target, precision=precision, out=out, **more)


def test_the_build_says_where_it_comes_from(int8: Build) -> None:
    told = json.loads(int8.path.with_suffix(".json").read_text())
    assert told == int8.provenance
    assert told["source_sha256"] == digest(SOURCE)
    assert told["sha256"] == told["files"]["model.int8.onnx"] == digest(int8.path)
    assert told["files"]["model.int8.blob"] == digest(int8.path.with_suffix(".blob"))
    assert told["calibration"] == {"subjects": "phantoms", "slices": 3}
    assert told["check"] == {"subjects": "phantoms", "slices": 3}
    assert told["dice"]["alike"] >= 0.99
    assert told["command"] == "scanstream model build --target openvino --precision int8"


def test_no_build_names_a_machine(int8: Build) -> None:
    for path in int8.path.parent.iterdir():
        data = path.read_bytes()
        for trace in (b"/home/", b"/tmp/", b"site-packages", path.parent, MODELS.parent):
            assert (trace if isinstance(trace, bytes) else bytes(trace)) not in data, path.name


def test_openvino_computes_the_convolutions_in_int8(int8: Build) -> None:
    layers = Counter(int8.provenance["layers"])
    in_bytes = sum(count for layer, count in layers.items() if layer.endswith((" u8", " i8")))
    assert int8.provenance["computed_in"] == "int8"
    assert in_bytes == layers.total() >= 10


def test_the_same_request_gives_the_same_network(int8: Build, tmp_path: Path) -> None:
    again = target_of("openvino").make(SOURCE, "int8", images(), tmp_path)
    assert again.read_bytes() == int8.path.read_bytes()


def images() -> np.ndarray:
    return pictures.material(None, (), ()).calibration_images()


def test_a_wrong_calibration_is_refused_and_what_was_there_stays(tmp_path: Path) -> None:
    data, out = write_data(tmp_path / "wrong", noise=True), tmp_path / "out"
    out.mkdir()
    (out / "model.int8.onnx").write_bytes(b"the build of before")
    with pytest.raises(BuildRefused, match="calibration"):
        build(request(out, "openvino", "int8", data=data, subjects=("SC-N-05",)), quiet)
    assert [path.read_bytes() for path in out.iterdir()] == [b"the build of before"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "wrong"]


def test_the_same_build_with_a_right_calibration_is_kept(tmp_path: Path) -> None:
    data = write_data(tmp_path / "right", noise=False)
    out = tmp_path / "out"
    made = build(request(out, "openvino", "int8", data=data, subjects=("SC-N-05",)), quiet)
    assert made.provenance["calibration"] == {"subjects": ["SC-HF-I-07"], "slices": 3}
    assert made.provenance["check"]["subjects"] == ["SC-N-05"]
    assert sorted(path.name for path in out.iterdir()) == [
        "model.int8.blob",
        "model.int8.json",
        "model.int8.onnx",
    ]


def test_bf16_is_claimed_only_where_the_processor_has_it(tmp_path: Path) -> None:
    import openvino

    able = "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    asked = request(tmp_path / "out", "openvino", "bf16")
    if able:
        assert build(asked, quiet).provenance["computed_in"] == "bf16"
    else:
        with pytest.raises(BuildRefused, match="computes this network in fp32"):
            build(asked, quiet)
        assert not (tmp_path / "out").exists()


def test_the_blob_gives_the_masks_of_its_file(int8: Build) -> None:
    options = {**openvino_target.OPTIONS, "INFERENCE_NUM_THREADS": 1}
    blob = int8.path.with_suffix(".blob")
    loaded, origin = openvino_target.load(int8.path, blob, options)
    assert origin == "blob"
    assert loaded.get_property("INFERENCE_NUM_THREADS") == 1
    quick = openvino_target.predict_with(loaded)(images())
    slow = openvino_target.fp32(int8.path)(images())
    assert dice(quick[0], slow[0]) > 0.999  # the threads differ
    assert quick[0].any()


@pytest.mark.parametrize(
    ("old", "new"), [(b"ov=20", b"ov=19"), (b"isa=", b"isa=No "), (b"RR_", b"QQ_")]
)
def test_a_foreign_blob_is_not_taken(int8: Build, tmp_path: Path, old: bytes, new: bytes) -> None:
    """A blob of another OpenVINO or processor, with a provenance that fits: OpenVINO refuses it."""
    data = int8.path.with_suffix(".blob").read_bytes()
    assert old in data[:200]
    blob = tmp_path / "model.int8.blob"
    blob.write_bytes(data.replace(old, new, 1)[: len(data)])
    told = {**int8.provenance, "files": {**int8.provenance["files"], blob.name: digest(blob)}}
    blob.with_suffix(".json").write_text(json.dumps(told))
    loaded, why = openvino_target.load(int8.path, blob, openvino_target.OPTIONS)
    assert "another OpenVINO or for another kind of processor" in why
    assert openvino_target.computed_in(loaded) == "int8"  # from the ONNX file


def test_a_blob_that_its_provenance_does_not_name_is_not_tried(int8: Build, tmp_path: Path) -> None:
    blob = tmp_path / "model.int8.blob"
    _, why = openvino_target.load(int8.path, blob, openvino_target.OPTIONS)
    assert why == "there is no model.int8.blob with its provenance"
    blob.write_bytes(int8.path.with_suffix(".blob").read_bytes() + b"!")
    blob.with_suffix(".json").write_text(json.dumps(int8.provenance))
    _, why = openvino_target.load(int8.path, blob, openvino_target.OPTIONS)
    assert why == "model.int8.blob is not the file that model.int8.json names"


@pytest.mark.parametrize(
    ("target", "precision", "text"),
    [("openvino", "fp16", "builds fp32, bf16, int8, not fp16"), ("coreml", "fp16", "these exist")],
)
def test_a_wrong_request_is_told(tmp_path: Path, target: str, precision: str, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        build(request(tmp_path, target, precision), quiet)


def test_subjects_without_data_are_not_ignored(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--subjects are of --data"):
        build(request(tmp_path, "onnx", "fp32", subjects=("SC-N-05",)), quiet)


def test_the_command_builds_and_prints_the_provenance(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["model", "build", "--target", "onnx", "--precision", "fp32", "--json"]
    assert main([*words, "--out", str(tmp_path / "out")]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["file"] == "model.fp32.onnx"
    assert told["dice"]["alike"] > 0.999
    assert main([*words, "--source", str(tmp_path / "absent.onnx")]) == 2
    (tmp_path / "text.onnx").write_text("this is no network")
    assert main([*words, "--source", str(tmp_path / "text.onnx")]) == 2
    assert "text.onnx is no ONNX file" in capsys.readouterr().err


def test_the_command_offers_what_there_is() -> None:
    assert tuple(TARGETS) == OFFERED
    for name in ("onnx", "openvino"):
        assert set(target_of(name).precisions) <= set(PRECISIONS)
