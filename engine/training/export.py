"""Write the net as ONNX: weights stored in half precision, arithmetic in single precision."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from engine.training.data import Bytes
from engine.training.evaluate import dice
from engine.training.net import Served, UNet, fused
from engine.training.train import predictor

SIDE = 256
LABELS = ("left-ventricle-cavity",)
HALF_FROM = 64  # initialisers smaller than this stay float32: they are constants, not weights


def export(net: UNet, path: Path, *, threshold: float, notes: dict[str, str]) -> None:
    """Write `net` to `path`; `notes` go into the file's metadata.

    Input `image` uint8 [N, 1, 256, 256]; outputs `mask` uint8 [N, 256, 256] and `confidence`
    float32 [N, 1]. N is dynamic.
    """
    served = Served(fused(net), threshold).eval()
    model = _traced(served)
    _halve_weights(model.graph)
    helper.set_model_props(
        model, {"threshold": f"{threshold:g}", "labels": ",".join(LABELS), **notes}
    )
    onnx.checker.check_model(model, full_check=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model.SerializeToString())


def agreement(path: Path, net: UNet, threshold: float, images: Bytes) -> float:
    """Return the mean Dice between the file's masks (OpenVINO, fp32) and the net's.

    Not the lowest: the weights are rounded, and of a small mask one pixel is a twentieth.
    `images` uint8 [N, 256, 256], enhanced.
    """
    import openvino

    compiled = openvino.Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    request = compiled.create_infer_request()
    expect = predictor(net, threshold)
    found = []
    for image in images:
        batch = image[None, None]
        found.append(dice(request.infer({"image": batch})["mask"], expect(batch)[0]))
    return float(np.mean(found))


def _traced(served: Served) -> onnx.ModelProto:
    """Return the net as an ONNX graph with a dynamic batch."""
    image = torch.zeros(2, 1, SIDE, SIDE, dtype=torch.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns about its own internals
        program = torch.onnx.export(
            served,
            (image,),
            input_names=["image"],
            output_names=["mask", "confidence"],
            dynamic_shapes={"image": {0: torch.export.Dim("N")}},
            dynamo=True,
            verbose=False,
        )
    if program is None:
        raise RuntimeError("torch.onnx.export returned nothing")
    buffer = io.BytesIO()
    program.save(buffer)
    model = onnx.load_from_string(buffer.getvalue())
    del model.metadata_props[:]
    for node in model.graph.node:  # the exporter leaves stack traces with this machine's paths
        del node.metadata_props[:]
        node.doc_string = ""
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        del value.metadata_props[:]
    del model.graph.metadata_props[:]
    return model


def _halve_weights(graph: onnx.GraphProto) -> None:
    """Store each large float32 initialiser as float16, followed by a Cast back to float32."""
    casts = []
    for tensor in graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < HALF_FROM:
            continue
        name, stored = tensor.name, f"{tensor.name}_half"
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), stored))
        casts.append(helper.make_node("Cast", [stored], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
