"""What is asked for, who makes it, and what comes out."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

from engine.errors import ConfigError
from engine.training.data import Bytes
from engine.training.evaluate import Predict

Say = Callable[[str], None]

# A target's module imports its runtime inside its functions: the registry loads without any.
TARGETS: dict[str, str] = {
    "onnx": "engine.builds.onnx_file",
    "openvino": "engine.builds.openvino_target",
    "tensorrt": "engine.builds.tensorrt",
    "tensorrt-rtx": "engine.builds.tensorrt_rtx",
}


class Target(Protocol):
    """A module that builds for one runtime."""

    @property
    def precisions(self) -> tuple[str, ...]:
        """The precisions that it builds, of fp32, bf16, fp16 and int8."""

    def missing(self) -> str | None:
        """Say what to install before `make` can work; None when nothing is missing."""

    def make(self, source: Path, precision: str, calibration: Bytes | None, out: Path) -> Path:
        """Write the build into the folder `out`, and return its main file.

        `source` is the ONNX file; `calibration` uint8 [N, 1, 256, 256], pictures as served, is
        given for int8. Other files that `make` leaves in `out` belong to the build.
        """

    def predictor(self, path: Path) -> Predict | None:
        """Return what runs the build on this machine; None where it cannot run here."""

    def notes(self, path: Path) -> dict[str, Any]:
        """Return what the provenance shall say besides: versions, what was really computed in."""


def target_of(name: str) -> Target:
    """Return the target of this name; raise `ConfigError` naming those that exist."""
    if name not in TARGETS:
        raise ConfigError(f"no build target {name}; these exist: {', '.join(TARGETS)}")
    return cast(Target, importlib.import_module(TARGETS[name]))


@dataclass(frozen=True, kw_only=True)
class Request:
    """One build that is asked for.

    `source` is the fp32 ONNX file, `out` the folder that receives the build. `data` is a folder of
    labelled slices (`images/`, `labels/`); `subjects` are those to check on, the validation
    subjects when empty; without `data` the phantom takes both places.
    """

    source: Path
    target: str
    precision: str
    out: Path
    data: Path | None = None
    subjects: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Build:
    """A build that was kept: its main file, and what `build.json` says of it."""

    path: Path
    provenance: dict[str, Any]
