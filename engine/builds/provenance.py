"""What a build says of itself, in a JSON file beside it: `model.int8.onnx` has `model.int8.json`.

It names no path and no time, so that the same inputs give the same file.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from pathlib import Path
from typing import Any

from engine.builds.drift import Drift
from engine.builds.pictures import Material
from engine.builds.request import Request
from engine.errors import ConfigError


def provenance(
    request: Request, made: Path, pictures: Material, drift: Drift, notes: dict[str, Any]
) -> dict[str, Any]:
    """Return what is known of the build whose main file is `made`, alone in its folder."""
    told = pictures.as_json()
    return {
        "target": request.target,
        "precision": request.precision,
        "file": made.name,
        "sha256": digest(made),
        "source_sha256": digest(request.source),
        "files": {path.name: digest(path) for path in sorted(made.parent.iterdir())},
        # only int8 is calibrated
        "calibration": told["calibration"] if request.precision == "int8" else None,
        "check": told["check"],
        "dice": drift.as_json(),
        "command": command(request),
        "scanstream": importlib.metadata.version("scanstream"),
        **notes,
    }


def command(request: Request) -> str:
    """Return the command line that asks for this build, with DATA for the folder of slices."""
    words = ["scanstream model build", f"--target {request.target}"]
    words.append(f"--precision {request.precision}")
    if request.data is not None:
        words.append("--data DATA")
    if request.subjects:
        words.append(f"--subjects {','.join(request.subjects)}")
    return " ".join(words)


def write(told: dict[str, Any], made: Path) -> Path:
    """Write the provenance beside the build's main file."""
    path = made.with_suffix(".json")
    path.write_text(json.dumps(told, indent=1) + "\n")
    return path


def digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def trained_on(source: Path) -> tuple[str, ...]:
    """Return the subjects that the weights were made from, as training writes into the file.

    Raises `ConfigError` for a file that is no ONNX model.
    """
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load(source)
    except DecodeError:
        raise ConfigError(f"{source} is no ONNX file") from None
    found = {one.key: one.value for one in model.metadata_props}
    return tuple(found.get("subjects", "").split())
