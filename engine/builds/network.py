"""Read a foreign ONNX file: does it keep the project's contract, or what has to go around it?"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import onnx
import openvino
from onnx import TensorProto

from engine.builds.wrap import SIDE, Meaning, Shapes
from engine.errors import BuildRefused, ConfigError

OPSET = 13  # from here on Softmax has an axis as we know it, and ReduceSum takes its axes as input
INPUT_TYPES = {
    "uint8": TensorProto.UINT8,
    "float16": TensorProto.FLOAT16,
    "float32": TensorProto.FLOAT,
    "float64": TensorProto.DOUBLE,
}


def load(path: Path) -> onnx.ModelProto:
    """Return the file, with weights that lie beside it; raise when it is no valid ONNX."""
    if not path.is_file():
        raise ConfigError(f"there is no file {path}")
    try:
        onnx.checker.check_model(str(path))
        return onnx.load(path)
    except Exception as error:  # protobuf's, onnx's and the file system's have no common base
        raise BuildRefused(f"{path.name} is no valid ONNX model: {line(error)}") from error


def keeps_contract(net: onnx.ModelProto) -> bool:
    """Return whether the model says that it is already what a worker wants."""
    inputs = {one.name: one.type.tensor_type.elem_type for one in _inputs(net)}
    outputs = {one.name for one in net.graph.output}
    return inputs == {"image": TensorProto.UINT8} and {"mask", "confidence"} <= outputs


def shapes_of(net: onnx.ModelProto, path: Path, output: str, meaning: Meaning) -> Shapes:
    """Return what goes in and comes out; raise `BuildRefused` for what cannot be wrapped.

    `output` names the logits where there are several outputs, and is empty where there is one.
    """
    if (version := _opset(net)) < OPSET:
        raise BuildRefused(f"operator set {version} is too old: export with opset {OPSET} or later")
    name, kind, channels, side = _input_of(net, path, meaning)
    found = _output_of(net, output)
    model = _read(path)
    sides = [channels, side or SIDE, side or SIDE]
    with contextlib.suppress(RuntimeError):  # fixed shapes inside are told of when it is run
        model.reshape({name: openvino.PartialShape([-1, *sides])})
    shape = model.output(found).get_partial_shape()
    if shape.rank.is_dynamic or len(shape) != 4 or shape[1].is_dynamic:
        raise BuildRefused(
            f"output `{found}` is {_text(shape)}, not [N, planes, rows, columns]: export the logits"
            " before any argmax, or name them with --output"
        )
    return Shapes(
        input_name=name,
        input_type=kind,
        channels=channels,
        input_side=side,
        output_name=found,
        output_side=_side(shape),
        planes=_planes(shape[1].get_length(), meaning),
    )


def _input_of(
    net: onnx.ModelProto, path: Path, meaning: Meaning
) -> tuple[str, int, int, int | None]:
    """Return name, type, channels and side of the only input."""
    names = [one.name for one in _inputs(net)]
    if len(names) != 1:
        raise BuildRefused(
            f"it has {len(names)} inputs ({', '.join(names)}): one, a picture, is fed"
        )
    name = names[0]
    port = _read(path).input(name)
    shape, type_name = port.get_partial_shape(), port.get_element_type().to_dtype().name
    if type_name not in INPUT_TYPES:
        raise BuildRefused(
            f"input `{name}` is {type_name}; these are fed: {', '.join(INPUT_TYPES)}"
        )
    if shape.rank.is_dynamic or len(shape) != 4:
        raise BuildRefused(f"input `{name}` is {_text(shape)}, not [N, channels, rows, columns]")
    if shape[0].is_static:
        raise BuildRefused(
            f"input `{name}` is {_text(shape)}: its batch is fixed; export it with a dynamic first"
            " axis (torch.onnx.export(..., dynamic_shapes=...))"
        )
    channels = 1 if shape[1].is_dynamic else shape[1].get_length()
    if channels not in (1, 3):
        raise BuildRefused(
            f"input `{name}` is {_text(shape)}: the second axis, its channels, must be 1 or 3"
            " (a picture is grey; three channels get the same)"
        )
    _check_scale(channels, type_name, meaning)
    return name, INPUT_TYPES[type_name], channels, _square(name, shape)


def _check_scale(channels: int, type_name: str, meaning: Meaning) -> None:
    for numbers in meaning.scale:
        if len(numbers) not in (1, channels):
            raise ConfigError(
                f"--scale has {len(numbers)} means and as many deviations, the network"
                f" {channels} channels: give one pair, or one a channel"
            )
    if type_name == "uint8" and (meaning.mean, meaning.std) != ((0.0,), (255.0,)):
        raise ConfigError("--scale has no effect: the network takes uint8 and scales by itself")


def _square(name: str, shape: Any) -> int | None:
    """Return the side of the input's pictures, None where it takes any."""
    if shape[2].is_dynamic or shape[3].is_dynamic:
        return None
    rows, columns = shape[2].get_length(), shape[3].get_length()
    if rows != columns:
        raise BuildRefused(
            f"input `{name}` is {_text(shape)}: chains draw squares of {SIDE} x {SIDE}, and"
            f" stretching them to {rows} x {columns} would distort: export it for squares"
        )
    return int(rows)


def _output_of(net: onnx.ModelProto, wanted: str) -> str:
    names = [one.name for one in net.graph.output]
    if wanted:
        if wanted not in names:
            raise ConfigError(f"--output {wanted}: the network's outputs are {', '.join(names)}")
        return wanted
    if len(names) != 1:
        raise ConfigError(f"the network has outputs {', '.join(names)}: name one with --output")
    return str(names[0])


def _side(shape: Any) -> int | None:
    known = shape[2].is_static and shape[3].is_static and shape[2] == shape[3]
    return int(shape[2].get_length()) if known else None


def _planes(planes: int, meaning: Meaning) -> int:
    labels = len(meaning.labels)
    if planes not in (labels, labels + 1):
        raise BuildRefused(
            f"the output has {planes} planes and --labels {labels} names: give a name for each"
            " plane, or for each but the first where that is background"
        )
    return planes


def _inputs(net: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    """Return the inputs that have to be fed: old files list their weights there, too."""
    weights = {one.name for one in net.graph.initializer}
    return [one for one in net.graph.input if one.name not in weights]


def _opset(net: onnx.ModelProto) -> int:
    return max(
        (one.version for one in net.opset_import if one.domain in ("", "ai.onnx")), default=0
    )


def _read(path: Path) -> Any:
    try:
        return openvino.Core().read_model(path)
    except RuntimeError as error:
        raise BuildRefused(f"OpenVINO cannot read {path.name}: {line(error)}") from error


def _text(shape: Any) -> str:
    return str(shape).replace("?", "N", 1)


def line(error: Exception) -> str:
    """Return what an error says, without the places in foreign sources, in one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return next(reversed(lines), type(error).__name__)[:300]
