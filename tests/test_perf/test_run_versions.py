"""The version that a run swaps to: the same network, from files with other digests."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import onnx
from model_versions import add_version as add_small

from perf.run.versions import add_version

NAME = "unet-lv"


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_next_version_computes_the_same_from_other_files(tmp_path: Path) -> None:
    repository = tmp_path / "cpu"
    digest = add_small(repository, 4, threshold=100)
    model = repository / NAME
    told = {"source_sha256": digest, "files": {"model.onnx": digest, "model.int8.blob": "b10b"}}
    (model / "4" / "model.json").write_text(json.dumps(told))
    assert add_version(model, aside=tmp_path / "next") == 5
    old, new = (model / number / "model.onnx" for number in ("4", "5"))
    assert sha256(old) == digest != sha256(new)
    found = onnx.load(new)
    onnx.checker.check_model(found)
    assert [(one.key, one.value) for one in found.metadata_props] == [("version", "5")]
    del found.metadata_props[:]
    assert found == onnx.load(old)
    # a network that was compiled ahead is still of this file
    assert json.loads((model / "5" / "model.json").read_text()) == {
        "source_sha256": sha256(new),
        "files": {"model.onnx": sha256(new), "model.int8.blob": "b10b"},
    }
    assert json.loads((model / "4" / "model.json").read_text()) == told
    assert not (tmp_path / "next").exists()
