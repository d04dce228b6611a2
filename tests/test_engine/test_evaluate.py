"""Scores: by subject and by fold, by any predictor, and of what the real Triton serves."""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from labelled_slices import slice_of_everyone, two_subjects

from engine.cli import evaluate as evaluate_command
from engine.cli import main
from engine.errors import ConfigError
from engine.local.stack import MODELS
from engine.messages import ModelRef
from engine.training.data import (
    Slice,
    load_slices,
)
from engine.training.evaluate import Score, Scored, dice, evaluate
from engine.training.folds import FOLDS, MISLABELLED
from engine.training.pictures import outline_of
from engine.training.served import repository_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two subjects of two slices each."""
    return two_subjects(tmp_path)


def test_dice() -> None:
    a, b = np.zeros((2, 4, 4), np.uint8)
    assert dice(a, b) == 1.0
    a[:2], b[1:3] = 1, 1
    assert dice(a, b) == pytest.approx(0.5)
    assert dice(a, np.zeros_like(a)) == 0.0


def test_evaluate_scores_by_subject_and_keeps_the_largest_component(folder: Path) -> None:
    slices = load_slices(folder)
    blank = np.zeros((256, 256), np.uint8)
    answers = iter([slices[0].mask, blank, slices[2].mask, slices[3].mask])

    def predict(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        assert images.dtype == np.uint8
        masks = np.stack([next(answers) for _ in images])
        masks[0, :5, :5] = 1  # a second component, smaller: it must not count
        return masks, np.ones((len(images), 1), np.float32)

    score = evaluate(slices, predict)
    assert score.subjects == {"A": 0.5, "B": 1.0}
    assert score.mean == 0.75
    assert score.worst == 0.5
    assert score.pooled == pytest.approx(2 * 3 / 7)
    printed = json.loads(json.dumps(score.as_json(model="m", version="1", precision="fp32")))
    assert printed.keys() >= {
        *("model", "version", "precision", "subjects", "mean_dice", "worst_dice"),
        *("pooled_dice", "frames_per_second"),
    }


def test_scores_of_parts_are_one_score_over_their_slices(folder: Path) -> None:
    slices = load_slices(folder)

    def predict(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return (images[:, 0] > 150).astype(np.uint8), np.ones((len(images), 1), np.float32)

    whole = evaluate(slices, predict)
    parts = [evaluate(slices[:2], predict), evaluate(slices[2:], predict)]
    together = Score.together(parts)
    assert together.subjects == whole.subjects
    assert together.pooled == whole.pooled
    assert together.seconds == sum(part.seconds for part in parts)


def test_a_scored_slice_keeps_both_masks() -> None:
    found, true = np.zeros((2, 8, 8), np.uint8)
    found[1:4, 2:4], true[2:4, 2:6] = 1, 1
    row = Scored(name="A-IM-1.png", subject="A", found=found, true=true).as_json()
    np.testing.assert_array_equal(outline_of(row, "found"), found)
    np.testing.assert_array_equal(outline_of(row, "true"), true)
    assert (row["found_px"], row["true_px"]) == (6, 8)
    assert row["dice"] == pytest.approx(8 / 14)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--data", "DIR"], "has no folder images/"),
        ([], "--data is missing"),
        (["--phantoms", "45", "--dicom", "DIR"], "--data is missing"),
        (["--data", "DIR", "--folds", "DIR", "--subjects", "A"], "--folds brings"),
        (["--data", "DIR", "--triton", "127.0.0.1:1", "--precision", "fp32"], "--triton serves"),
        (["--data", "DIR", "--folds", "DIR"], "train --fold 1"),
        (["--data", "DIR", "--subjects", "-"], "--subjects names nobody"),
        (["--phantoms", "45,most"], "--phantoms takes percents"),
        (["--phantoms", "450"], "--phantoms takes percents"),
    ],
)
def test_the_command_names_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], named: str
) -> None:
    words = [str(tmp_path) if word == "DIR" else word for word in options]
    assert main(["model", "evaluate", *words]) == 2
    assert named in capsys.readouterr().err


def test_weights_of_ones_own_take_the_newest_versions_place(tmp_path: Path) -> None:
    served = tmp_path / "cpu" / "lv"
    for version in ("1", "2", "10"):
        (served / version).mkdir(parents=True)
        (served / version / "model.py").write_text(version)
        (served / version / "model.onnx").write_bytes(b"theirs")
        (served / version / "model.int8.onnx").write_bytes(b"theirs")
    (served / "config.pbtxt").write_text('name: "lv"')
    own = tmp_path / "run" / "model.onnx"
    own.parent.mkdir()
    own.write_bytes(b"ours")
    with repository_of(own, served) as made:
        there = {str(path.relative_to(made)) for path in made.rglob("*") if path.is_file()}
        assert there == {"lv/config.pbtxt", "lv/10/model.py", "lv/10/model.onnx"}
        assert (made / "lv" / "10" / "model.onnx").read_bytes() == b"ours"
    assert not made.exists()
    with pytest.raises(ConfigError, match="no weights"), repository_of(served, served):
        pass


def test_only_builds_of_the_weights_are_served_beside_them(tmp_path: Path) -> None:
    """Trained again, the folder still holds the int8 file of the run before."""
    served, run = tmp_path / "cpu" / "lv", tmp_path / "run"
    (served / "1").mkdir(parents=True)
    run.mkdir()
    (run / "model.onnx").write_bytes(b"ours")
    (run / "model.int8.onnx").write_bytes(b"quantised")
    told = {"files": {"model.int8.onnx": "", "model.int8.blob": ""}}
    for source, there in ((b"ours", True), (b"the run before", False)):
        digest = hashlib.sha256(source).hexdigest()
        (run / "model.int8.json").write_text(json.dumps({**told, "source_sha256": digest}))
        with repository_of(run / "model.onnx", served) as made:
            assert (made / "lv" / "1" / "model.int8.onnx").is_file() == there
            assert (made / "lv" / "1" / "model.int8.json").is_file() == there


def trained_on(path: Path, *subjects: str) -> None:
    """Write an ONNX file that says so."""
    onnx = pytest.importorskip("onnx")
    model = onnx.ModelProto()
    onnx.helper.set_model_props(model, {"subjects": " ".join(subjects)})
    path.write_bytes(model.SerializeToString())


def test_a_fold_that_was_trained_on_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, runs = slice_of_everyone(tmp_path)
    trained_on(runs / "fold-2" / "model.onnx", *FOLDS[0], FOLDS[1][3])
    assert main(["model", "evaluate", "--data", str(data), "--folds", str(runs)]) == 2
    assert f"was trained on {FOLDS[1][3]} of fold 2" in capsys.readouterr().err


def test_what_the_weights_have_seen_is_told(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Thresholded:
        ref = ModelRef(name="unet-lv", version="7", digest="d" * 64, precision="fp32")

        def predict(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            return (images[:, 0] > 150).astype(np.uint8), np.ones((len(images), 1), np.float32)

    @contextmanager
    def serving(*_: object) -> Iterator[Thresholded]:
        yield Thresholded()

    monkeypatch.setattr(evaluate_command, "_serving", serving)
    trained_on(folder / "model.onnx", "B", "C")
    words = ["--data", str(folder), "--weights", str(folder / "model.onnx")]
    assert main(["model", "evaluate", *words]) == 0
    assert "trained on B: no measure" in capsys.readouterr().out
    assert main(["model", "evaluate", *words, "--subjects", "A", "--json"]) == 0
    assert "trained_on" not in json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_folds_are_one_table_of_models_on_their_own_subjects(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    precision: str,
) -> None:
    """The servers apart: which weights meet which subjects, and what is made of the answers."""
    data, runs = slice_of_everyone(tmp_path)
    met: list[tuple[str, str]] = []

    class Thresholded:
        ref = ModelRef(name="unet-lv", version="7", digest="d" * 64, precision=precision)

        def predict(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            return (images[:, 0] > 150).astype(np.uint8), np.ones((len(images), 1), np.float32)

    @contextmanager
    def serving(args: argparse.Namespace, weights: Path | None) -> Iterator[Thresholded]:
        assert weights is not None
        met.append((weights.parent.name, args.precision))
        yield Thresholded()

    monkeypatch.setattr(evaluate_command, "_serving", serving)
    out = tmp_path / "out" / "folds.json"
    words = ["--data", str(data), "--folds", str(runs), "--precision", precision]
    assert main(["model", "evaluate", *words, "--out", str(out), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert met == [(f"fold-{number}", precision) for number in range(1, 6)]
    assert sorted(found["subjects"]) == sorted(name for some in FOLDS for name in some)
    assert [one["fold"] for one in found["folds"]] == [1, 2, 3, 4, 5]
    assert found["precision"] == precision
    assert found["mean_dice"] == pytest.approx(np.mean(list(found["subjects"].values())))
    assert len(json.loads(out.read_text())["by_slice"]) == 25
    rest = [value for name, value in found["subjects"].items() if name not in MISLABELLED]
    assert found["without_mislabelled"]["mean_dice"] == pytest.approx(np.mean(rest))


@pytest.mark.triton
def test_weights_of_ones_own_are_served_and_measured(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The whole path once: an embedded Triton that serves a file from elsewhere."""
    newest = max((MODELS / "unet-lv").glob("[0-9]*"), key=lambda path: int(path.name))
    weights = folder / "model.onnx"
    weights.write_bytes((newest / "model.onnx").read_bytes())
    words = ["--data", str(folder), "--subjects", "A", "--weights", str(weights)]
    assert main(["model", "evaluate", *words, "--precision", "fp32", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["digest"] == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert found["precision"] == "fp32"


@pytest.mark.triton
def test_the_command_measures_what_is_served(
    folder: Path, triton: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["model", "evaluate", "--data", str(folder), "--subjects", "B", "--triton", triton]
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["model"] == "unet-lv"
    assert found["version"].isdigit()
    assert len(found["digest"]) == 64
    assert found["slices"] == 2
    assert list(found["subjects"]) == ["B"]
    assert 0 <= found["mean_dice"] <= 1


def _slice(side: int) -> Slice:
    mask = np.zeros((side, side), np.uint8)
    mask[side // 4 : side // 2, side // 4 : side // 2] = 1
    return Slice(name="A-IM-1", subject="A", pixels=mask * 200, mask=mask)


def test_a_slice_of_another_size_is_scored_on_its_own_grid() -> None:
    def predict(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return (images[:, 0] > 128).astype(np.uint8), np.ones((len(images), 1), np.float32)

    assert evaluate([_slice(128)], predict).mean > 0.95
