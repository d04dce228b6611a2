"""The one order of work: calibrate, make, check, write down, keep."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

from engine.builds import drift, openvino_target
from engine.builds.pictures import Material, material
from engine.builds.provenance import provenance, trained_on, write
from engine.builds.request import Build, Request, Say, Target, target_of
from engine.errors import ConfigError
from engine.training.evaluate import Predict


def build(request: Request, say: Say) -> Build:
    """Make, check and keep one build; `say` gets progress in lines.

    Raises `ConfigError` for a wrong request or a missing runtime, `BuildRefused` when the build
    drifts from fp32; then nothing is left in `request.out`.
    """
    target = _able(request)
    pictures = material(request.data, request.subjects, trained_on(request.source))
    request.out.parent.mkdir(parents=True, exist_ok=True)
    # beside `out`, so that what is kept is moved, never copied: a server sees whole files only
    with tempfile.TemporaryDirectory(prefix=".building-", dir=request.out.parent) as folder:
        made = _make(target, request, pictures, Path(folder), say)
        checked_by, predict = _runner(target, request, pictures, made)
        say(f"checking on {len(pictures.check)} slices, in {checked_by}")
        found = drift.drift(pictures.check, openvino_target.fp32(request.source), predict)
        say(
            f"Dice {found.build:.4f}, fp32 {found.fp32:.4f}; lost {found.lost:+.4f}, at most"
            f" {found.most_lost:+.4f} by a subject; masks alike {found.alike:.4f}; confidence"
            f" {found.confidence:.4f} apart"
        )
        drift.refuse_drift(found, f"{request.target} {request.precision}")
        notes = {"checked_by": checked_by, **target.notes(made)}
        told = provenance(request, made, pictures, found, notes)
        write(told, made)
        return Build(path=_published(made, request.out), provenance=told)


def _able(request: Request) -> Target:
    """Return the target; raise `ConfigError` for what it cannot be asked."""
    target = target_of(request.target)
    if request.precision not in target.precisions:
        offered = ", ".join(target.precisions)
        raise ConfigError(f"target {request.target} builds {offered}, not {request.precision}")
    if not request.source.is_file():
        raise ConfigError(f"there is no model {request.source}")
    if request.subjects and request.data is None:
        raise ConfigError("--subjects are of --data: without it phantoms are checked")
    # OpenVINO computes the fp32 that every build is compared with
    for needed in (target, openvino_target):
        if (absent := needed.missing()) is not None:
            raise ConfigError(absent)
    return target


def _make(target: Target, request: Request, pictures: Material, folder: Path, say: Say) -> Path:
    images = None
    if request.precision == "int8":
        say(f"calibrating on {len(pictures.calibration)} slices")
        images = pictures.calibration_images()
    return target.make(request.source, request.precision, images, folder)


def _runner(
    target: Target, request: Request, pictures: Material, made: Path
) -> tuple[str, Predict]:
    """Return what to check with, and its name.

    A build that cannot run here (a plan, without its GPU) is checked by its twin, the ONNX file of
    the same precision from the same calibration.
    """
    predict = target.predictor(made)
    if predict is not None:
        return request.target, predict
    twin = target_of("onnx")
    if (absent := twin.missing()) is not None:
        raise ConfigError(absent)
    with tempfile.TemporaryDirectory() as folder:
        as_onnx = replace(request, target="onnx")
        path = _make(twin, as_onnx, pictures, Path(folder), lambda _: None)
        predict = twin.predictor(path)
    assert predict is not None  # ONNX Runtime runs everywhere
    return "onnx, the same network in ONNX Runtime", predict


def _published(made: Path, out: Path) -> Path:
    """Move all files of the build into `out`; the provenance goes last."""
    out.mkdir(parents=True, exist_ok=True)
    last = made.with_suffix(".json")
    for path in sorted(made.parent.iterdir(), key=lambda path: path == last):
        path.replace(out / path.name)
    return out / made.name
