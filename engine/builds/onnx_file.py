"""Target `onnx`: the network as ONNX whose own types are the precision, for any runtime.

fp32: weights as float32. fp16: strongly typed. int8: Q/DQ around zero, as TensorRT demands. bf16:
an emulation in float32 that shows, on any machine, what bf16 costs; nobody serves it.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np

from engine.errors import ConfigError
from engine.training.data import Bytes
from engine.training.evaluate import Predict

precisions: tuple[str, ...] = ("fp32", "bf16", "fp16", "int8")

# Not `model.int8.onnx`, which CPUs serve: OpenVINO gives other masks where activations are signed.
NAMES = {"int8": "model.int8-symmetric.onnx"}
THREADS = 2


def missing() -> str | None:
    """Say what to install; None where the packages are there."""
    for package in ("onnx", "onnxruntime"):
        if importlib.util.find_spec(package) is None:
            return f"builds of ONNX files need {package}: pip install 'scanstream[build]'"
    return None


def make(source: Path, precision: str, calibration: Bytes | None, out: Path) -> Path:
    """Write the ONNX file of this precision into `out`; `calibration` is needed for int8 alone.

    Raises `BuildRefused` for a network that does not take the precision.
    """
    from engine.builds import graph, quantise, typed

    model = graph.read_model(source)
    if precision == "int8":
        if calibration is None:
            raise ConfigError("int8 needs calibration pictures")
        model = quantise.as_int8(model, calibration, quantise.SYMMETRIC)
    elif precision != "fp32":
        model = {"fp16": typed.as_fp16, "bf16": typed.as_bf16}[precision](model)
    return graph.write_model(model, out / NAMES.get(precision, f"model.{precision}.onnx"))


def predictor(path: Path) -> Predict | None:
    """Return the file in ONNX Runtime, node by node: as it is written, without fusions."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = THREADS
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def predict(images: Bytes) -> tuple[Bytes, Any]:
        mask, confidence = session.run(["mask", "confidence"], {"image": images})
        return np.asarray(mask), np.asarray(confidence)

    return predict


def notes(path: Path) -> dict[str, Any]:
    """Return the versions that decide the file and its check."""
    import onnx
    import onnxruntime

    return {"onnx": onnx.__version__, "onnxruntime": onnxruntime.__version__}
