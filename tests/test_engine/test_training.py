"""Training: the data anywhere, the net and its export where PyTorch is.

Over 300 lines, so that a run's whole life, from its subjects to its file, is read in one place.
"""

from __future__ import annotations

import importlib.util
import json
import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from labelled_slices import slice_of_everyone, two_subjects

from engine.cli import main, parser_of
from engine.cli import train as train_command
from engine.errors import ConfigError
from engine.training.data import (
    HELD_OUT,
    VALIDATION,
    dequantised,
    load_slices,
    phantom_pictures,
    real_pictures,
    subject_of,
    subjects_in,
)
from engine.training.folds import FOLDS, MISLABELLED

MISSING = [name for name in ("torch", "onnx", "onnxscript") if not importlib.util.find_spec(name)]
needs_torch = pytest.mark.skipif(
    bool(MISSING), reason=f"training needs {', '.join(MISSING)}: the `train` extra is not installed"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two subjects of two slices each."""
    return two_subjects(tmp_path)


def test_the_subject_is_the_name_up_to_im() -> None:
    assert subject_of("SC-HF-I-40-IM-0001-0020.dcm.png") == "SC-HF-I-40"
    with pytest.raises(ConfigError, match="-IM-"):
        subject_of("picture.png")


def test_the_held_out_never_validate() -> None:
    assert not set(HELD_OUT) & set(VALIDATION)


def test_slices_are_read_with_their_masks(folder: Path) -> None:
    assert subjects_in(folder) == ["A", "B"]
    slices = load_slices(folder, ["B"])
    assert [each.name for each in slices] == ["B-IM-1.png", "B-IM-2.png"]
    assert slices[0].pixels.shape == (256, 256)
    assert slices[0].mask.sum() == 40 * 40


def test_what_is_missing_is_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no images of subject C"):
        load_slices(folder, ["A", "C"])
    (folder / "labels" / "A-IM-1.png").unlink()
    with pytest.raises(ConfigError, match=r"A-IM-1\.png has no label"):
        load_slices(folder)
    with pytest.raises(ConfigError, match="has no folder images/"):
        subjects_in(tmp_path / "elsewhere")


def test_dequantised_pixels_keep_the_picture() -> None:
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    finer = dequantised(pixels, np.random.default_rng(1)).ravel().astype(float)
    assert np.unique(finer).size > 200
    assert np.corrcoef(finer, pixels.ravel())[0, 1] > 0.999


def test_every_picture_comes_from_the_serving_chain(folder: Path) -> None:
    from engine.enhance import enhance_array

    slices = load_slices(folder)
    found = real_pictures(slices, variants=1, seed=0)
    assert found.images.shape == (8, 256, 256)
    np.testing.assert_array_equal(found.images[0], enhance_array(slices[0].pixels, "cine"))
    np.testing.assert_array_equal(found.masks[0], found.masks[1])


def test_phantoms_repeat_with_their_seed() -> None:
    first, again = (phantom_pictures(2, per_heart=2, seed=5) for _ in range(2))
    np.testing.assert_array_equal(first.images, again.images)
    assert first.masks.shape == (4, 256, 256)


@needs_torch
@pytest.mark.parametrize("patch", [1, 2])
def test_the_net_answers_on_its_inputs_grid(patch: int) -> None:
    import torch

    from engine.training.net import UNet

    net = UNet(width=4, patch=patch).eval()
    with torch.no_grad():
        assert net(torch.zeros(2, 1, 64, 64)).shape == (2, 1, 64, 64)


@needs_torch
def test_folding_the_normalisation_changes_nothing() -> None:
    import torch

    from engine.training.net import UNet, fused

    torch.manual_seed(0)
    net = UNet(width=4)
    net(torch.randn(2, 1, 32, 32))  # gives the normalisation something to fold
    net.eval()
    x = torch.randn(2, 1, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(fused(net)(x), net(x), atol=1e-4, rtol=1e-4)


@needs_torch
def test_crops_keep_image_and_mask_together() -> None:
    import torch

    from engine.training.augment import Ranges, centres, draw

    masks = torch.zeros(6, 256, 256, dtype=torch.uint8)
    masks[:, 100:140, 110:150] = 1
    still = Ranges(gamma=0, contrast=0, brightness=0, bias=0, noise=0, blur=0, elsewhere=0)
    rng = torch.Generator().manual_seed(0)
    x, y = draw(masks * 200 + 20, masks, centres(masks), still, rng)
    assert x.shape == y.shape == (6, 1, still.crop, still.crop)
    assert y.sum() > 0
    assert ((x > 0) == (y > 0)).float().mean() > 0.99


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of the command that take seconds: few pictures, small batches, a checkpoint an epoch."""
    from engine.training import train

    plan = partial(train.Plan, batch=2, width=2, phantom_share=0.5, checkpoint_every=1)
    monkeypatch.setattr(train, "Plan", plan)
    monkeypatch.setattr(train_command, "VARIANTS", 0)
    monkeypatch.setattr(train_command, "HEARTS", 1)
    monkeypatch.setattr(train_command, "FRAMES_PER_HEART", 2)


@pytest.fixture
def unexported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the export, ten seconds that another test takes."""
    monkeypatch.setattr(train_command, "write", lambda *_: 0)


def trained(folder: Path, out: Path, *more: str) -> dict[str, Any]:
    """Train for two epochs, validating on B; return the averaged weights."""
    from engine.training.train import averaged_net

    words = ["--data", str(folder), "--out", str(out), "--epochs", "2", "--validate", "B"]
    assert main(["model", "train", *words, "--threads", "1", *more]) == 0
    return dict(averaged_net(out / "last.pt").state_dict())


def assert_same(one: dict[str, Any], two: dict[str, Any]) -> None:
    import torch

    assert one.keys() == two.keys()
    for name, value in one.items():
        assert torch.equal(value, two[name]), name


@needs_torch
@pytest.mark.usefixtures("tiny", "unexported")
def test_a_run_repeats_with_its_seed_and_no_other(folder: Path, tmp_path: Path) -> None:
    first = trained(folder, tmp_path / "first")
    assert_same(first, trained(folder, tmp_path / "again"))
    other = trained(folder, tmp_path / "other", "--seed", "2")
    with pytest.raises(AssertionError):
        assert_same(first, other)


@needs_torch
@pytest.mark.usefixtures("tiny", "unexported")
def test_a_run_that_was_interrupted_ends_as_one_that_was_not(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from engine.training.train import Trainer, run_of

    whole = trained(folder, tmp_path / "whole")
    save = Trainer.save

    def save_and_stop(self: Trainer) -> None:
        save(self)
        raise KeyboardInterrupt

    monkeypatch.setattr(Trainer, "save", save_and_stop)
    words = ["--data", str(folder), "--out", str(tmp_path / "parts"), "--epochs", "2"]
    assert main(["model", "train", *words, "--validate", "B", "--threads", "1"]) == 130
    monkeypatch.setattr(Trainer, "save", save)
    assert_same(whole, trained(folder, tmp_path / "parts", "--resume"))
    assert run_of(tmp_path / "whole" / "last.pt") == run_of(tmp_path / "parts" / "last.pt")


@needs_torch
@pytest.mark.usefixtures("tiny")
def test_a_run_leaves_what_the_card_needs(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained(folder, tmp_path / "run")
    told = json.loads((tmp_path / "run" / "history.json").read_text())
    assert told["notes"]["subjects"] == "A"
    assert told["notes"]["validation"] == "B"
    assert [row["epoch"] for row in told["history"]] == [1, 2]
    assert all(math.isfinite(row["loss"]) and 0 <= row["dice"] <= 1 for row in told["history"])
    assert told["parameters"] > 0
    assert "epoch 2/2" in capsys.readouterr().err


@needs_torch
@pytest.mark.usefixtures("tiny", "unexported")
def test_a_checkpoint_of_another_net_is_refused(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained(folder, tmp_path)
    words = ["--data", str(folder), "--out", str(tmp_path), "--resume", "--width", "4"]
    assert main(["model", "train", *words]) == 2
    assert "was begun with width 2" in capsys.readouterr().err


@needs_torch
@pytest.mark.usefixtures("tiny", "unexported")
def test_who_validates_was_never_trained_on(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither before a `--resume` nor behind the weights that a run begins with."""
    from engine.training.train import notes_of

    trained(folder, tmp_path / "run")
    words = ["model", "train", "--data", str(folder), "--threads", "1", "--epochs", "2"]
    turned = [*words, "--validate", "A"]
    assert main([*turned, "--out", str(tmp_path / "run"), "--resume"]) == 2
    assert "was begun with the subjects A: resume with the same" in capsys.readouterr().err
    start = ["--start", str(tmp_path / "run" / "last.pt")]
    assert main([*turned, "--out", str(tmp_path / "next"), *start]) == 2
    assert "was trained on A: validate on others" in capsys.readouterr().err
    alone = ["--validate", "-", "--exclude", "A", "--out", str(tmp_path / "next")]
    assert main([*words, *alone, *start]) == 0
    assert notes_of(tmp_path / "next" / "last.pt")["subjects"] == "A B"


@needs_torch
@pytest.mark.usefixtures("tiny", "unexported")
def test_another_run_is_not_overwritten(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained(folder, tmp_path)
    before = (tmp_path / "last.pt").read_bytes()
    words = ["--data", str(folder), "--out", str(tmp_path), "--validate", "B"]
    assert main(["model", "train", *words]) == 2
    assert "--resume, or change --out" in capsys.readouterr().err
    assert (tmp_path / "last.pt").read_bytes() == before


@needs_torch
@pytest.mark.usefixtures("tiny")
def test_a_file_that_answers_otherwise_is_not_written(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from engine.training import export

    monkeypatch.setattr(export, "agreement", lambda *_: 0.97)
    out = tmp_path / "run"
    words = ["--data", str(folder), "--out", str(out), "--epochs", "1", "--threads", "1"]
    assert main(["model", "train", *words, "--validate", "B"]) == 1
    assert "model.onnx is not written" in capsys.readouterr().err
    assert [path.name for path in out.iterdir()] == ["last.pt"]


@needs_torch
@pytest.mark.parametrize("option", ["--epochs", "--width", "--threads", "--crop"])
def test_a_plan_of_nothing_is_refused(
    folder: Path, tmp_path: Path, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--data", str(folder), "--out", str(tmp_path), "--validate", "B", option, "0"]
    assert main(["model", "train", *words]) == 2
    assert f"{option} must be at least 1" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--validate", "--exclude"])
def test_a_mistyped_subject_is_not_trained_on(folder: Path, option: str) -> None:
    words = ["train", "--data", str(folder), "--out", str(folder), option, "A,b"]
    args = parser_of("model").parse_args(words)
    with pytest.raises(ConfigError, match="no images of subject b"):
        train_command._split(args)


def test_a_fold_says_who_validates(tmp_path: Path) -> None:
    data, _ = slice_of_everyone(tmp_path)
    words = ["train", "--data", str(data), "--out", str(tmp_path), "--fold", "4"]
    args = parser_of("model").parse_args(words)
    learn, check = train_command._split(args)
    assert sorted(check) == sorted(FOLDS[3])
    assert len(learn) == 20 - len(MISLABELLED)
    assert not set(learn) & set(MISLABELLED)
    assert not set(learn) & set(check)
    args.validate = "SC-N-05"
    with pytest.raises(ConfigError, match="leave out --validate"):
        train_command._split(args)


@needs_torch
def test_the_exported_file_answers_as_the_net_does(tmp_path: Path) -> None:
    import torch

    from engine.training.export import agreement, export
    from engine.training.net import UNet

    torch.manual_seed(1)
    net = UNet(width=4).eval()
    path = tmp_path / "model.onnx"
    export(net, path, threshold=0.5, notes={"seed": "1"})
    images = phantom_pictures(2, per_heart=2, seed=0).images
    assert agreement(path, net, 0.5, images) >= 0.998
    for trace in (b".py", b"site-packages", str(Path(__file__).parents[2]).encode()):
        assert trace not in path.read_bytes()  # PyTorch notes where each layer was called
