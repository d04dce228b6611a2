"""ONNX graphs as every form of a build starts from: constants are float32 initialisers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper, shape_inference

from engine.errors import BuildRefused

# Layers that multiply with constant weights: where the time goes, and what int8 is about.
WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
# Layers that hand values on as they are.
CARRIERS = ("MaxPool", "Concat", "DepthToSpace", "SpaceToDepth", "Reshape", "Transpose", "Slice")


def read_model(path: Path) -> onnx.ModelProto:
    """Return the model of an ONNX file; its weights, stored as float16, become float32 again."""
    model = onnx.load(path)
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    nodes = []
    for node in model.graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            stored[node.output[0]] = _named(node.attribute[0].t, node.output[0])
        elif _is_cast_of_weights(node, stored):
            half = numpy_helper.to_array(stored[node.input[0]])
            stored[node.output[0]] = tensor_of(half.astype(np.float32), node.output[0])
        else:
            nodes.append(node)
    replace_nodes(model, nodes)
    set_constants(model, stored)
    return model


def write_model(model: onnx.ModelProto, path: Path) -> Path:
    """Check the model and write it, equal models as equal bytes. Raises `BuildRefused`."""
    del model.graph.value_info[:]  # types of the source; what is inferred now is checked instead
    model.producer_name = "scanstream"
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, shape_inference.InferenceError) as error:
        raise BuildRefused(f"the network does not take the types of {path.name}: {error}") from None
    path.write_bytes(model.SerializeToString(deterministic=True))
    return path


def floats_of(model: onnx.ModelProto) -> set[str]:
    """Return the names of all float32 tensors that nodes make."""
    typed = shape_inference.infer_shapes(model).graph
    return {
        value.name
        for value in (*typed.value_info, *typed.output)
        if value.type.tensor_type.elem_type == TensorProto.FLOAT
    }


def constants_of(model: onnx.ModelProto) -> dict[str, NDArray[Any]]:
    """Return the values of all initialisers by name."""
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def replace_nodes(model: onnx.ModelProto, nodes: list[onnx.NodeProto]) -> None:
    """Make `nodes` the graph's."""
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def set_constants(model: onnx.ModelProto, tensors: dict[str, onnx.TensorProto]) -> None:
    """Make those of `tensors` that a node uses the graph's initialisers, in order of name."""
    used = {name for node in model.graph.node for name in node.input}
    kept = [tensors[name] for name in sorted(tensors) if name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)


def tensor_of(values: NDArray[Any], name: str) -> onnx.TensorProto:
    """Return a constant."""
    return numpy_helper.from_array(np.ascontiguousarray(values), name)


def cast(name: str, made: str, kind: int) -> onnx.NodeProto:
    """Return a node that turns the tensor `name` into `made`, of another type."""
    return helper.make_node("Cast", [name], [made], name=f"{made}_cast", to=kind)


def _is_cast_of_weights(node: onnx.NodeProto, stored: dict[str, onnx.TensorProto]) -> bool:
    if node.op_type != "Cast" or node.input[0] not in stored:
        return False
    return bool(helper.get_node_attr_value(node, "to") == TensorProto.FLOAT)


def _named(tensor: onnx.TensorProto, name: str) -> onnx.TensorProto:
    copy = onnx.TensorProto()
    copy.CopyFrom(tensor)
    copy.name = name
    return copy
