"""Training: the data and the scores anywhere, the net and its export where PyTorch is."""

from __future__ import annotations

import importlib.util
import json
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.cli import main
from engine.errors import ConfigError
from engine.training.data import (
    HELD_OUT,
    VALIDATION,
    Slice,
    dequantised,
    load_slices,
    phantom_pictures,
    real_pictures,
    subject_of,
    subjects_in,
)
from engine.training.evaluate import dice, evaluate

MISSING = [name for name in ("torch", "onnx", "onnxscript") if not importlib.util.find_spec(name)]
needs_torch = pytest.mark.skipif(
    bool(MISSING), reason=f"training needs {', '.join(MISSING)}: the `train` extra is not installed"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two subjects of two slices each: a bright square that is the cavity."""
    for part in ("images", "labels"):
        (tmp_path / part).mkdir()
    rng = np.random.default_rng(0)
    for name in ("A-IM-1.png", "A-IM-2.png", "B-IM-1.png", "B-IM-2.png"):
        mask = np.zeros((256, 256), np.uint8)
        mask[100:140, 110:150] = 255
        pixels = (rng.integers(0, 60, mask.shape) + mask // 2).astype(np.uint8)
        Image.fromarray(np.stack([pixels] * 3, axis=-1)).save(tmp_path / "images" / name)
        Image.fromarray(mask).save(tmp_path / "labels" / name)
    return tmp_path


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


def test_the_command_names_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["model", "evaluate", "--data", str(tmp_path)]) == 2
    assert "has no folder images/" in capsys.readouterr().err


@pytest.mark.triton
def test_the_command_measures_what_is_served(
    folder: Path, triton: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["model", "evaluate", "--data", str(folder), "--subjects", "B", "--triton", triton]
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["model"] == "unet-lv"
    assert found["version"] == "1"
    assert found["precision"] in ("fp32", "bf16")
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


@needs_torch
def test_the_net_has_five_levels_of_width_sixteen() -> None:
    import torch

    from engine.training.net import UNet

    net = UNet().eval()
    assert 1_900_000 < sum(each.numel() for each in net.parameters()) < 2_000_000
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

    from engine.training.augment import CROP, Ranges, centres, draw

    masks = torch.zeros(6, 256, 256, dtype=torch.uint8)
    masks[:, 100:140, 110:150] = 1
    still = Ranges(gamma=0, contrast=0, brightness=0, bias=0, noise=0, blur=0, elsewhere=0)
    rng = torch.Generator().manual_seed(0)
    x, y = draw(masks * 200 + 20, masks, centres(masks), still, rng)
    assert x.shape == y.shape == (6, 1, CROP, CROP)
    assert y.sum() > 0
    assert ((x > 0) == (y > 0)).float().mean() > 0.99


@needs_torch
def test_a_run_repeats_and_resumes(folder: Path, tmp_path: Path) -> None:
    import torch

    from engine.training.train import Plan, Source, Trainer, averaged_net

    real = real_pictures(load_slices(folder), variants=0, seed=0)
    phantom = phantom_pictures(1, per_heart=2, seed=0)
    plan = Plan(epochs=2, batch=2, width=2, phantom_share=0.5, checkpoint_every=1)

    def trainer(name: str, epochs: int) -> Trainer:
        own = Plan(**{**vars_of(plan), "epochs": epochs})
        return Trainer(Source(real, phantom, 0, own), own, tmp_path / name)

    whole = trainer("whole", 2)
    whole.run(None, print)
    assert all(math.isfinite(row["loss"]) for row in whole.history)
    first = trainer("parts", 2)
    first.plan = Plan(**{**vars_of(plan), "epochs": 2})
    first._train_epoch()
    first.epoch = 1
    first.save()
    second = trainer("parts", 2)
    second.resume(tmp_path / "parts" / "last.pt")
    second.run(None, print)
    one, two = (averaged_net(tmp_path / name / "last.pt") for name in ("whole", "parts"))
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def vars_of(plan: object) -> dict[str, object]:
    from dataclasses import fields

    return {each.name: getattr(plan, each.name) for each in fields(plan)}  # type: ignore[arg-type]


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
    assert str(tmp_path).encode() not in path.read_bytes()
