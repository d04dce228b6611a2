"""Static int8 in the Q/DQ form of ONNX, which OpenVINO, TensorRT and ONNX Runtime all read.

Post-training quantisation after arXiv 2004.09602: weights with one scale per output channel,
activations with one scale per tensor. Biases, and all that is no convolution or matrix
product, stay in floating point; so do the probabilities, the threshold and the confidence.

An activation is quantised where it is made, not where it is used: a layer that only carries values
(pooling, concatenation, a change of shape) then works on bytes. Tensors that meet in such a layer
share a scale, so that no value is scaled twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from engine.builds import graph
from engine.builds.calibrate import Histogram, histograms
from engine.errors import BuildRefused
from engine.training.data import Bytes


@dataclass(frozen=True)
class Form:
    """How numbers become bytes."""

    weight_levels: int
    unsigned: bool


# TensorRT takes only int8 around zero.
SYMMETRIC = Form(weight_levels=127, unsigned=False)
# OpenVINO wants activations in uint8. Weights of 7 bits: without VNNI the processor adds pairs of
# products in 16 bits, and 2 * 255 * 127 does not fit (docs/decisions/0011-builds.md has the cost).
UNSIGNED = Form(weight_levels=63, unsigned=True)


@dataclass(frozen=True)
class Layer:
    """A node that multiplies with constants, and the tensors that its input was made from."""

    node: onnx.NodeProto
    origins: tuple[str, ...]


def as_int8(model: onnx.ModelProto, images: Bytes, form: Form) -> onnx.ModelProto:
    """Return the network with every layer that has constant weights in int8.

    `images` uint8 [N, 1, 256, 256] are the calibration pictures, as served. Raises `BuildRefused`
    for a network without such layers.
    """
    layers = list(layers_of(model))
    if not layers:
        raise BuildRefused("the network has no layer with constant weights: int8 changes nothing")
    found = histograms(model.SerializeToString(), shared(layers), images)
    return quantised(model, layers, found, form)


def layers_of(model: onnx.ModelProto) -> Iterator[Layer]:
    """Yield the layers with constant weights, in the order in which they are computed."""
    makers = {name: node for node in model.graph.node for name in node.output}
    constants = {tensor.name for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type in graph.WEIGHTED and node.input[1] in constants:
            yield Layer(node, tuple(_origins(node.input[0], makers, constants)))


def shared(layers: list[Layer]) -> list[tuple[str, ...]]:
    """Return the groups of tensors that share a scale: those that meet before a layer."""
    groups: list[set[str]] = []
    for layer in layers:
        met = set(layer.origins)
        touched = [group for group in groups if group & met]
        groups = [group for group in groups if not group & met]
        groups.append(met.union(*touched))
    return sorted(tuple(sorted(group)) for group in groups)


def quantised(
    model: onnx.ModelProto,
    layers: list[Layer],
    found: Mapping[tuple[str, ...], Histogram],
    form: Form,
) -> onnx.ModelProto:
    """Return a copy of `model` with Q/DQ pairs; `found` holds every group of `shared(layers)`."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    grids = {name: _grid(held, form) for group, held in found.items() for name in group}
    wanted = {layer.node.output[0] for layer in layers}
    tensors = {tensor.name: tensor for tensor in copy.graph.initializer}
    nodes: list[onnx.NodeProto] = []
    for node in copy.graph.node:
        node.input[:] = [f"{name}_dequantised" if name in grids else name for name in node.input]
        if node.output[0] in wanted:
            nodes += _with_small_weights(node, tensors, form)
        else:
            nodes.append(node)
        for name in node.output:
            if name in grids:
                nodes += _pair(name, *grids[name], tensors)
    graph.replace_nodes(copy, nodes)
    graph.set_constants(copy, tensors)
    return copy


def _origins(name: str, makers: Mapping[str, onnx.NodeProto], constants: set[str]) -> Iterator[str]:
    """Walk back over what only carries values; yield the tensors in which they were made."""
    maker = makers.get(name)
    if maker is None or maker.op_type not in graph.CARRIERS:
        yield name
        return
    carried = maker.input if maker.op_type == "Concat" else maker.input[:1]
    for each in carried:
        if each not in constants:
            yield from _origins(each, makers, constants)


def _grid(held: Histogram, form: Form) -> tuple[np.float32, NDArray[np.generic]]:
    """Return the step, and the byte that stands for zero."""
    levels = 255 if form.unsigned and not held.signed else 127
    step = np.float32(held.clip(levels) / levels)
    if not form.unsigned:
        return step, np.array(0, np.int8)
    return step, np.array(128 if held.signed else 0, np.uint8)


def _pair(
    name: str,
    step: np.float32,
    zero: NDArray[np.generic],
    tensors: dict[str, onnx.TensorProto],
) -> list[onnx.NodeProto]:
    """Return the Q and the DQ that follow the tensor `name`."""
    scale, point = f"{name}_scale", f"{name}_zero"
    tensors[scale] = graph.tensor_of(np.array(step), scale)
    tensors[point] = graph.tensor_of(zero, point)
    low, high = f"{name}_quantised", f"{name}_dequantised"
    return [
        helper.make_node("QuantizeLinear", [name, scale, point], [low], name=low),
        helper.make_node("DequantizeLinear", [low, scale, point], [high], name=high),
    ]


def _with_small_weights(
    node: onnx.NodeProto, tensors: dict[str, onnx.TensorProto], form: Form
) -> list[onnx.NodeProto]:
    """Store the node's weights as int8; return the DQ that gives them back, and the node."""
    name = node.input[1]
    node.input[1] = f"{name}_dequantised"
    low, scale, zero = f"{name}_quantised", f"{name}_scale", f"{name}_zero"
    if low in tensors:  # a layer before shares them
        return [node]
    values = numpy_helper.to_array(tensors[name]).astype(np.float32)
    axis = _channels_axis(node, values.ndim)
    others = tuple(i for i in range(values.ndim) if i != axis)
    step = np.maximum(np.abs(values).max(axis=others, keepdims=True), 1e-12) / form.weight_levels
    limit = form.weight_levels
    whole = np.clip(np.rint(values / step), -limit, limit).astype(np.int8)
    tensors[low] = graph.tensor_of(whole, low)
    tensors[scale] = graph.tensor_of(step.astype(np.float32).ravel(), scale)
    tensors[zero] = graph.tensor_of(np.zeros(step.size, np.int8), zero)
    dequantise = helper.make_node(
        "DequantizeLinear", [low, scale, zero], [node.input[1]], name=f"{low}_back", axis=axis
    )
    return [dequantise, node]


def _channels_axis(node: onnx.NodeProto, dimensions: int) -> int:
    """Return the axis of the weights that runs over what the layer gives."""
    if node.op_type == "MatMul":
        return dimensions - 1
    if node.op_type == "Gemm":
        turned = [one.i for one in node.attribute if one.name == "transB"]
        return 0 if turned == [1] else 1
    return 1 if node.op_type == "ConvTranspose" else 0
