"""Folders of labelled slices, as `data` reads them, for the tests of training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from engine.training.folds import FOLDS


def two_subjects(folder: Path) -> Path:
    """Fill a folder with two subjects of two slices each: a bright square is the cavity."""
    for part in ("images", "labels"):
        (folder / part).mkdir()
    rng = np.random.default_rng(0)
    for name in ("A-IM-1.png", "A-IM-2.png", "B-IM-1.png", "B-IM-2.png"):
        mask = np.zeros((256, 256), np.uint8)
        mask[100:140, 110:150] = 255
        pixels = (rng.integers(0, 60, mask.shape) + mask // 2).astype(np.uint8)
        Image.fromarray(np.stack([pixels] * 3, axis=-1)).save(folder / "images" / name)
        Image.fromarray(mask).save(folder / "labels" / name)
    return folder


def slice_of_everyone(folder: Path) -> tuple[Path, Path]:
    """Return data of one slice for each subject of the folds, and empty models of five runs."""
    rng = np.random.default_rng(0)
    for part in ("images", "labels"):
        (folder / "data" / part).mkdir(parents=True)
    for subject in (name for some in FOLDS for name in some):
        mask = np.zeros((256, 256), np.uint8)
        mask[100 : 110 + int(rng.integers(20)), 110:150] = 255
        pixels = (rng.integers(0, 60, mask.shape) + mask // 2).astype(np.uint8)
        name = f"{subject}-IM-0001-0001.dcm.png"
        Image.fromarray(pixels).save(folder / "data" / "images" / name)
        Image.fromarray(mask).save(folder / "data" / "labels" / name)
    for number in range(1, 6):
        (folder / "runs" / f"fold-{number}").mkdir(parents=True)
        (folder / "runs" / f"fold-{number}" / "model.onnx").write_bytes(b"")
    return folder / "data", folder / "runs"
