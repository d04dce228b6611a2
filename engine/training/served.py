"""Predict through the real Triton: the client of the worker, a repository of any weights."""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.config import Settings
from engine.errors import ConfigError
from engine.infer import TritonModel
from engine.local.triton import Triton
from engine.messages import ModelRef
from engine.training.data import Bytes
from engine.training.evaluate import BATCH


class Served:
    """A model behind a Triton, called one batch after the other. Close it, or use `with`."""

    def __init__(self, address: str, model: str, version: str, timeout_s: float) -> None:
        self._runner = asyncio.Runner()
        self._model = TritonModel(
            address, model, version=version, max_batch=BATCH, slots=1, timeout_s=timeout_s
        )

    def __enter__(self) -> Served:
        try:
            self._runner.run(self._model.start())
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    @property
    def ref(self) -> ModelRef:
        """What answered last: name, version, digest, precision."""
        return self._model.ref

    def predict(self, images: Bytes) -> tuple[Bytes, NDArray[np.float32]]:
        """Send uint8 [N, 1, 256, 256]; return the masks [N, 256, 256] and confidences [N]."""
        found = self._runner.run(self._model.infer(list(images[:, 0])))
        masks = np.stack([one.mask for one in found])
        return masks, np.array([one.confidence for one in found], np.float32)

    def _close(self) -> None:
        self._runner.run(self._model.close())
        self._runner.close()


@contextmanager
def embedded(repository: Path, model: str, version: str, settings: Settings) -> Iterator[Served]:
    """Start an embedded Triton on `repository` and connect to one of its models."""
    with (
        tempfile.TemporaryDirectory(prefix="scanstream-") as folder,
        Triton(Path(folder), repository, settings) as triton,
        Served(triton.address, model, version, settings.infer_timeout_s) as served,
    ):
        yield served


@contextmanager
def repository_of(weights: Path, served: Path) -> Iterator[Path]:
    """Make a repository that serves `weights` as the model folder `served` is served.

    Its one version is a copy of the newest of `served` with the weights put in place of its own,
    and the builds beside them that were made from them (`model.int8.onnx` with `model.int8.json`,
    which names its source). Removed afterwards.
    """
    if not weights.is_file():
        raise ConfigError(f"there are no weights {weights}")
    with tempfile.TemporaryDirectory(prefix="scanstream-") as name:
        folder = Path(name) / served.name
        newest = _newest(served)
        shutil.copytree(served, folder, ignore=lambda *_: {"__pycache__", *_versions(served)})
        shutil.copytree(served / newest, folder / newest, ignore=_weights_in)
        shutil.copyfile(weights, folder / newest / "model.onnx")
        for beside in _builds_of(weights):
            shutil.copyfile(beside, folder / newest / beside.name)
        yield folder.parent


def _weights_in(_: str, names: list[str]) -> list[str]:
    """Return what a version folder holds besides the program that serves it."""
    models = [name for name in names if name.startswith("model.") and name != "model.py"]
    return ["__pycache__", *models]


def _builds_of(weights: Path) -> list[Path]:
    """Return the files of the builds beside `weights`, less those of other weights."""
    own = hashlib.sha256(weights.read_bytes()).hexdigest()
    found = []
    for told in weights.parent.glob("model.*.json"):
        build = json.loads(told.read_text())
        if build["source_sha256"] == own:
            files = (told.with_name(name) for name in build["files"])
            found += [told, *(path for path in files if path.is_file())]
    return found


def _versions(model: Path) -> list[str]:
    return [each.name for each in model.iterdir() if each.is_dir() and each.name.isdigit()]


def _newest(model: Path) -> str:
    versions = _versions(model) if model.is_dir() else []
    if not versions:
        raise ConfigError(f"{model} has no version of the model")
    return max(versions, key=int)
