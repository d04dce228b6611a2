"""A tiny network as an ONNX file: it doubles its input, in fp32 or quantised (Q/DQ)."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def write_doubler(
    path: Path, *, factor: float = 2.0, side: int = 8, quantised: bool = False
) -> Path:
    """Write `picture` float32 [N, 1, side, side] to `doubled`, of the same shape; return `path`."""
    from onnx import TensorProto, checker, helper, numpy_helper, save

    shape = ["N", 1, side, side]
    given = helper.make_tensor_value_info("picture", TensorProto.FLOAT, shape)
    taken = helper.make_tensor_value_info("doubled", TensorProto.FLOAT, shape)
    weights = np.zeros((4, 1, 3, 3), np.float32)
    weights[:, 0, 1, 1] = factor / 4
    constants = {"weights": weights, "sum": np.ones((1, 4, 1, 1), np.float32)}
    nodes, source, kernel = [], "picture", "weights"
    if quantised:
        constants |= {
            "weights": np.where(weights > 0, 100, 0).astype(np.int8),
            "weights_scale": np.float32(factor / 400),
            "scale": np.float32(0.1),
            "zero": np.int8(0),
        }
        steps = (
            ("QuantizeLinear", ["picture", "scale", "zero"], "q"),
            ("DequantizeLinear", ["q", "scale", "zero"], "dq"),
            ("DequantizeLinear", ["weights", "weights_scale", "zero"], "kernel"),
        )
        nodes = [helper.make_node(kind, names, [out]) for kind, names, out in steps]
        source, kernel = "dq", "kernel"
    pads = [1, 1, 1, 1]
    nodes += [
        helper.make_node("Conv", [source, kernel], ["four"], pads=pads),
        helper.make_node("Conv", ["four", "sum"], ["doubled"]),
    ]
    made = [numpy_helper.from_array(np.asarray(one), name) for name, one in constants.items()]
    graph = helper.make_graph(nodes, "doubler", [given], [taken], made)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    checker.check_model(model)
    save(model, path)
    return path
