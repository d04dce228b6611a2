"""The network in 16 bits, with the types in the graph: what strongly typed TensorRT asks for."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from engine.builds import graph

# Inputs that the standard wants in float32 whatever the data are (ONNX, operator Resize: scales).
FLOAT_ALWAYS = {("Resize", 2)}


def as_fp16(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the network with weights and activations in float16, inputs and outputs unchanged.

    That is all up to the last layer with weights. The probabilities, the threshold and the sums of
    the confidence stay in float32: 65,536 pixels are more than float16 counts.
    """
    typed = onnx.ModelProto()
    typed.CopyFrom(model)
    inner, outer = _split_after_last_layer(typed)
    tensors = {tensor.name: tensor for tensor in typed.graph.initializer}
    for node in inner:
        _halve(node, tensors)
    made = {name for node in inner for name in node.output} & graph.floats_of(model)
    borders = []
    for node in outer:
        for place, name in enumerate(node.input):
            if name in made:
                node.input[place] = f"{name}_float"
                borders.append(name)
    casts = [graph.cast(one, f"{one}_float", TensorProto.FLOAT) for one in dict.fromkeys(borders)]
    graph.replace_nodes(typed, [*inner, *casts, *outer])
    graph.set_constants(typed, tensors)
    return typed


def as_bf16(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the network as a processor with bf16 computes it: everything rounded to bfloat16.

    Weights and what each layer gives are rounded to nearest even and held in float32; a layer adds
    up in float32, as AMX and AVX512-BF16 do (Intel SDM, TDPBF16PS). It emulates, on any machine.
    """
    rounded = onnx.ModelProto()
    rounded.CopyFrom(model)
    floats = graph.floats_of(model)
    ports = {port.name for port in rounded.graph.output}  # what leaves the graph is converted once
    nodes = []
    for node in rounded.graph.node:
        nodes.append(node)
        for place, name in enumerate(node.output):
            if name in floats and name not in ports and node.op_type not in graph.CARRIERS:
                node.output[place] = f"{name}_exact"
                nodes += [
                    graph.cast(f"{name}_exact", f"{name}_bf16", TensorProto.BFLOAT16),
                    graph.cast(f"{name}_bf16", name, TensorProto.FLOAT),
                ]
    graph.replace_nodes(rounded, nodes)
    weights = {node.input[1] for node in nodes if node.op_type in graph.WEIGHTED}
    tensors = {tensor.name: tensor for tensor in rounded.graph.initializer}
    for name, values in graph.constants_of(model).items():
        if name in weights and values.dtype == np.float32:
            tensors[name] = graph.tensor_of(to_bf16(values), name)
    graph.set_constants(rounded, tensors)
    return rounded


def to_bf16(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return finite `values` rounded to the nearest bfloat16, ties to even, as float32."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    rounding = ((bits >> 16) & 1) + np.uint32(0x7FFF)
    kept: NDArray[np.float32] = ((bits + rounding) & np.uint32(0xFFFF0000)).view(np.float32)
    return kept


def _split_after_last_layer(model: onnx.ModelProto) -> tuple[list[Any], list[Any]]:
    """Return the nodes that lead to a layer with weights, that included, and the others."""
    constants = {tensor.name for tensor in model.graph.initializer}
    wanted: set[str] = set()
    inner = []
    for node in reversed(model.graph.node):  # a node comes after what it needs
        layer = node.op_type in graph.WEIGHTED and node.input[1] in constants
        if layer or wanted.intersection(node.output):
            wanted.update(node.input)
            inner.append(node)
    inner.reverse()
    names = {name for node in inner for name in node.output}
    return inner, [node for node in model.graph.node if node.output[0] not in names]


def _halve(node: onnx.NodeProto, tensors: dict[str, onnx.TensorProto]) -> None:
    """Let the node work in float16; the constants that it needs join `tensors`."""
    for place, name in enumerate(node.input):
        tensor = tensors.get(name)
        if tensor is None or (node.op_type, place) in FLOAT_ALWAYS:
            continue
        if tensor.data_type == TensorProto.FLOAT:
            values = onnx.numpy_helper.to_array(tensor).astype(np.float16)
            node.input[place] = f"{name}_half"
            tensors[f"{name}_half"] = graph.tensor_of(values, f"{name}_half")
    for attribute in node.attribute:
        if node.op_type == "Cast" and attribute.name == "to" and attribute.i == TensorProto.FLOAT:
            attribute.CopyFrom(helper.make_attribute("to", TensorProto.FLOAT16))
