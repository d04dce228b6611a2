"""A transformer's encoder that segments, as small as it gets: what a user might bring."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

PATCH, WIDTH = 8, 16


def transformer(
    planes: int,
    *,
    side: int = 128,
    channels: int = 1,
    batch: int | str = "batch",
    opset: int = 17,
    dtype: type[Any] = np.float32,
    seed: int = 0,
) -> onnx.ModelProto:
    """Return patches by Conv, self-attention, MLP, and patches again: logits at full size.

    Input `pixels` [batch, channels, side, side]; output `logits` float32 [batch, planes, side,
    side]. The weights are random: what it finds means nothing, and depends on the whole picture.
    """
    rng = np.random.default_rng(seed)
    tokens = (side // PATCH) ** 2
    weights: dict[str, np.ndarray] = {
        "patch": rng.normal(0, 0.2, (WIDTH, channels, PATCH, PATCH)),
        "place": rng.normal(0, 0.5, (1, tokens, WIDTH)),
        "one": np.ones(WIDTH),
        "none": np.zeros(WIDTH),
        "query": rng.normal(0, 0.6, (WIDTH, WIDTH)),
        "key": rng.normal(0, 0.6, (WIDTH, WIDTH)),
        "value": rng.normal(0, 0.6, (WIDTH, WIDTH)),
        "wide": rng.normal(0, 0.5, (WIDTH, 2 * WIDTH)),
        "narrow": rng.normal(0, 0.5, (2 * WIDTH, WIDTH)),
        "paint": rng.normal(0, 0.4, (WIDTH, planes, PATCH, PATCH)),
    }
    constants = [numpy_helper.from_array(one.astype(np.float32), n) for n, one in weights.items()]
    grid = side // PATCH
    for name, values in (("flat", [0, WIDTH, -1]), ("grid", [0, WIDTH, grid, grid])):
        constants.append(numpy_helper.from_array(np.array(values, np.int64), name))
    node = helper.make_node
    nodes = [
        node("Cast", ["pixels"], ["floats"], to=TensorProto.FLOAT),
        node("Conv", ["floats", "patch"], ["patches"], strides=[PATCH, PATCH]),
        node("Reshape", ["patches", "flat"], ["columns"]),
        node("Transpose", ["columns"], ["rows"], perm=[0, 2, 1]),
        node("Add", ["rows", "place"], ["tokens"]),
        node("LayerNormalization", ["tokens", "one", "none"], ["even"]),
        node("MatMul", ["even", "query"], ["asks"]),
        node("MatMul", ["even", "key"], ["offers"]),
        node("Transpose", ["offers"], ["offered"], perm=[0, 2, 1]),
        node("MatMul", ["asks", "offered"], ["scores"]),
        node("Softmax", ["scores"], ["shares"], axis=-1),
        node("MatMul", ["even", "value"], ["values"]),
        node("MatMul", ["shares", "values"], ["heard"]),
        node("Add", ["tokens", "heard"], ["attended"]),
        node("LayerNormalization", ["attended", "one", "none"], ["even2"]),
        node("MatMul", ["even2", "wide"], ["widened"]),
        node("Relu", ["widened"], ["bent"]),
        node("MatMul", ["bent", "narrow"], ["narrowed"]),
        node("Add", ["attended", "narrowed"], ["encoded"]),
        node("Transpose", ["encoded"], ["turned"], perm=[0, 2, 1]),
        node("Reshape", ["turned", "grid"], ["gridded"]),
        node("ConvTranspose", ["gridded", "paint"], ["logits"], strides=[PATCH, PATCH]),
    ]
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    picture = helper.make_tensor_value_info("pixels", kind, [batch, channels, side, side])
    painted = helper.make_tensor_value_info(
        "logits", TensorProto.FLOAT, [batch, planes, side, side]
    )
    graph = helper.make_graph(nodes, "tiny", [picture], [painted], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
