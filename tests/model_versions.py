"""A model repository of several versions of one model, told apart by their digests."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import openvino

from engine.local.stack import MODELS

NAME = "unet-lv"  # what the built-in routes name
CONFIG = MODELS / NAME / "config.pbtxt"
SIDE = 256


def write_threshold(path: Path, threshold: int) -> Path:
    """Write a network that keeps the contract: the mask is where the image is over `threshold`.

    It takes next to no time, so that what is tested is everything around it.
    """
    from onnx import TensorProto, checker, helper, numpy_helper, save

    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", 1, SIDE, SIDE])
    mask = helper.make_tensor_value_info("mask", TensorProto.UINT8, ["N", SIDE, SIDE])
    sure = helper.make_tensor_value_info("confidence", TensorProto.FLOAT, ["N", 1])
    constants = {
        "threshold": np.float32(threshold),
        "channel": np.array([1], np.int64),
        "white": np.float32(255),
    }
    nodes = [
        helper.make_node("Cast", ["image"], ["values"], to=TensorProto.FLOAT),
        helper.make_node("Greater", ["values", "threshold"], ["over"]),
        helper.make_node("Cast", ["over"], ["labels"], to=TensorProto.UINT8),
        helper.make_node("Squeeze", ["labels", "channel"], ["mask"]),
        helper.make_node("ReduceMean", ["values"], ["mean"], axes=[2, 3], keepdims=0),
        helper.make_node("Div", ["mean", "white"], ["confidence"]),
    ]
    made = [numpy_helper.from_array(np.asarray(one), name) for name, one in constants.items()]
    graph = helper.make_graph(nodes, "threshold", [image], [mask, sure], made)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    checker.check_model(model)
    save(model, path)
    return path


def add_version(repository: Path, version: int, *, threshold: int) -> str:
    """Add a version of the small network to `repository`; return its digest."""
    folder = _folder(repository, version)
    return _sha256(write_threshold(folder / "model.onnx", threshold))


def add_copy(repository: Path, version: int) -> None:
    """Add a version that computes what our newest does, from files with other digests.

    With its blob, as `scanstream model build` leaves it.
    """
    import onnx

    newest = max(int(one.name) for one in (MODELS / NAME).iterdir() if one.name.isdigit())
    folder = _folder(repository, version)
    for source in (MODELS / NAME / str(newest)).glob("*.onnx"):
        model = onnx.load(source)
        model.metadata_props.add(key="copy", value=str(version))
        onnx.save(model, folder / source.name)
    int8, blob = folder / "model.int8.onnx", folder / "model.int8.blob"
    blob.write_bytes(_compiled(int8))
    files = {one.name: _sha256(one) for one in (int8, blob)}
    told = {"source_sha256": _sha256(folder / "model.onnx"), "files": files}
    blob.with_suffix(".json").write_text(json.dumps(told))


def _compiled(path: Path) -> bytes:
    core = openvino.Core()
    blob = core.compile_model(str(path), "CPU", {"INFERENCE_NUM_THREADS": 2}).export_model()
    return blob if isinstance(blob, bytes) else bytes(blob.read())


def _folder(repository: Path, version: int) -> Path:
    folder = repository / NAME / str(version)
    folder.mkdir(parents=True)
    if not (repository / NAME / "config.pbtxt").exists():
        shutil.copy(CONFIG, repository / NAME)
    return folder


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
