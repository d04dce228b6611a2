"""Another version of a model: it computes the same, from files with other digests."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

# An ONNX file is a protobuf message, and a repeated field may be appended to one: its number and
# wire type in a byte, its length, its bytes. In onnx.proto: metadata_props 14, key 1, value 2.
_METADATA, _KEY, _VALUE = b"\x72", b"\x0a", b"\x12"


def add_version(model: Path, *, aside: Path) -> int:
    """Add the next version to the folder of a model; return its number.

    It is a copy of the newest one whose ONNX files say which version they are, so that their
    digests tell results apart. It is made `aside`, and appears as a whole.
    """
    newest = max(int(one.name) for one in model.iterdir() if one.name.isdigit())
    shutil.copytree(model / str(newest), aside)
    before = {path.name: _sha256(path) for path in aside.glob("*.onnx")}
    for path in aside.glob("*.onnx"):
        with path.open("ab") as file:
            file.write(_metadata("version", str(newest + 1)))
    after = {digest: _sha256(aside / name) for name, digest in before.items()}
    for path in aside.glob("*.json"):  # else a network compiled ahead is of another file
        path.write_text(json.dumps(_renamed(json.loads(path.read_text()), after)))
    aside.rename(model / str(newest + 1))
    return newest + 1


def _metadata(key: str, value: str) -> bytes:
    return _field(_METADATA, _field(_KEY, key.encode()) + _field(_VALUE, value.encode()))


def _field(tag: bytes, data: bytes) -> bytes:
    if len(data) > 127:
        raise ValueError(f"a length of {len(data)} takes more than one byte")
    return tag + bytes([len(data)]) + data


def _renamed(found: Any, digests: dict[str, str]) -> Any:
    """Return a provenance with each old digest replaced by its new one."""
    if isinstance(found, dict):
        return {key: _renamed(value, digests) for key, value in found.items()}
    if isinstance(found, list):
        return [_renamed(value, digests) for value in found]
    return digests.get(found, found) if isinstance(found, str) else found


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
