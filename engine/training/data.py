"""The pictures to learn from: real slices and phantom frames, through the serving chain.

A folder of data has `images/` and `labels/` with files of the same name: 8-bit PNG, a label's
pixel above 0 is the cavity. The subject is the file's name up to `-IM-`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from engine.enhance import enhance_array
from engine.errors import ConfigError
from engine.phantom import Phantom
from engine.phantom.heart import END_SYSTOLE

Bytes = NDArray[np.uint8]

CHAIN = "cine"
SIDE = 256
# The labels hold the pixels of the outline too: half a pixel more on every side than the contour.
OUTLINE = 0.5
# Subjects that also exist as DICOM: the visible end-to-end test, never trained on.
HELD_OUT = ("SC-HF-I-01", "SC-HF-I-02", "SC-HF-I-04", "SC-HF-I-05", "SC-HF-I-06")
# Subjects that choose epochs and threshold: one or two of each diagnosis, fixed beforehand.
VALIDATION = ("SC-HF-I-40", "SC-HF-NI-07", "SC-HF-NI-34", "SC-HYP-06", "SC-N-05")


@dataclass(frozen=True, kw_only=True)
class Slice:
    """One labelled slice: uint8 (256, 256) stored pixels, and the mask, 1 inside the cavity."""

    name: str
    subject: str
    pixels: Bytes
    mask: Bytes


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """What the sampler draws from. `images` uint8 [N, 256, 256] enhanced, `masks` likewise."""

    images: Bytes
    masks: Bytes

    def __len__(self) -> int:
        return len(self.images)


def subject_of(name: str) -> str:
    """Return the subject that a file belongs to: its name up to `-IM-`."""
    subject, mark, _ = name.partition("-IM-")
    if not mark:
        raise ConfigError(f"{name}: the file's name has no `-IM-`, so its subject is not known")
    return subject


def subjects_in(folder: Path) -> list[str]:
    """Return the subjects of a folder of data, in order. Raises `ConfigError` when it is none."""
    return sorted({subject_of(path.name) for path in _image_paths(folder)})


def load_slices(folder: Path, subjects: Collection[str] | None = None) -> list[Slice]:
    """Read the labelled slices of `subjects` (all when None), ordered by name.

    Raises `ConfigError` naming what is missing: the folders, a label, a subject.
    """
    found = [p for p in _image_paths(folder) if subjects is None or subject_of(p.name) in subjects]
    absent = set(subjects or ()) - {subject_of(path.name) for path in found}
    if absent:
        raise ConfigError(f"no images of subject {min(absent)} in {folder}/images")
    return [_load(path, folder / "labels" / path.name) for path in found]


def _image_paths(folder: Path) -> list[Path]:
    for part in ("images", "labels"):
        if not (folder / part).is_dir():
            raise ConfigError(f"{folder} has no folder {part}/: data are images/ and labels/")
    paths = sorted((folder / "images").glob("*.png"))
    if not paths:
        raise ConfigError(f"{folder}/images holds no PNG file")
    return paths


def _load(image: Path, label: Path) -> Slice:
    if not label.is_file():
        raise ConfigError(f"{image.name} has no label: {label} is missing")
    with Image.open(image) as picture, Image.open(label) as drawn:
        pixels = np.array(picture.convert("L"))
        mask = (np.array(drawn.convert("L")) > 0).astype(np.uint8)
    if pixels.shape != mask.shape:
        raise ConfigError(f"{image.name}: image {pixels.shape} and label {mask.shape} differ")
    return Slice(name=image.name, subject=subject_of(image.name), pixels=pixels, mask=mask)


def dequantised(pixels: Bytes, rng: np.random.Generator) -> NDArray[np.int16]:
    """Return an 8-bit picture as a scanner would have stored it: finer steps, noise between them.

    The PNG hold 256 levels, DICOM objects 600 to 2,500; CLAHE sees the difference.
    """
    step = rng.uniform(600, 2500) / 255
    finer = (pixels + rng.random(pixels.shape) - 0.5) * step
    return np.clip(np.rint(finer), 0, 32767).astype(np.int16)


def real_pictures(slices: Iterable[Slice], *, variants: int, seed: int) -> Pictures:
    """Enhance each slice as it is and, `variants` times, dequantised; variants lie side by side."""
    rng = np.random.default_rng((seed, 11))
    images, masks = [], []
    for each in slices:
        stored: list[NDArray[Any]] = [
            each.pixels,
            *(dequantised(each.pixels, rng) for _ in range(variants)),
        ]
        images += [enhance_array(pixels, CHAIN) for pixels in stored]
        masks += [each.mask] * len(stored)
    return Pictures(images=np.stack(images), masks=np.stack(masks))


def phantom_pictures(hearts: int, *, per_heart: int, seed: int) -> Pictures:
    """Enhance `per_heart` frames of each of `hearts` phantoms; some have an empty mask.

    Half of the frames lie near end systole, where a cavity is small and its edge matters most.
    """
    rng = np.random.default_rng((seed, 12))
    images, masks = [], []
    for _ in range(hearts):
        heart = Phantom(
            ejection_fraction=float(rng.uniform(15, 80)),
            seed=int(rng.integers(1_000_000, 2_000_000)),  # never the seed of a demonstration
            papillary=bool(rng.random() < 0.7),
            noise=float(rng.uniform(0.5, 2.0)),
        )
        systole = round(END_SYSTOLE * heart.phases)
        for index in rng.choice(heart.slices, per_heart, replace=False):
            near = rng.random() < 0.5
            phase = systole + int(rng.integers(-1, 2)) if near else int(rng.integers(heart.phases))
            images.append(enhance_array(heart.image(int(index), phase), CHAIN))
            masks.append(heart.mask(int(index), phase, margin=OUTLINE))
    return Pictures(images=np.stack(images), masks=np.stack(masks))
