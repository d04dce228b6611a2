"""Target `openvino`: what the CPU server loads, and the same compiled ahead (a blob).

fp32 and bf16 need no other file than the source: the build is the blob. int8 is the Q/DQ file
`model.int8.onnx`, with activations in uint8, and its blob. A blob loads several times faster than
the ONNX file, but only into the OpenVINO and onto the kind of processor that wrote it.
"""

from __future__ import annotations

import collections
import hashlib
import importlib.util
import json
from pathlib import Path
from typing import Any

from engine.errors import BuildRefused, ConfigError
from engine.training.data import Bytes
from engine.training.evaluate import Predict

precisions: tuple[str, ...] = ("fp32", "bf16", "int8")

HINTS = {"fp32": "f32", "bf16": "bf16", "int8": "f32"}
# OpenVINO's words for what it computes in, and ours.
KINDS = {"f32": "fp32", "bf16": "bf16", "f16": "fp16", "u8": "int8", "i8": "int8"}
HEAVY = ("Convolution", "Deconvolution", "FullyConnected", "MatMul")
OPTIONS = {"INFERENCE_NUM_THREADS": 2, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY"}


def missing() -> str | None:
    """Say what to install; None where the packages are there."""
    for package in ("openvino", "onnx"):
        if importlib.util.find_spec(package) is None:
            return f"builds for OpenVINO need {package}: pip install 'scanstream[build]'"
    return None


def make(source: Path, precision: str, calibration: Bytes | None, out: Path) -> Path:
    """Write the build into `out`; return the Q/DQ file for int8, else the blob.

    Raises `BuildRefused` where OpenVINO would compute in something else than `precision`, as it
    does without a word on a processor that has no bf16.
    """
    path = _int8(source, calibration, out) if precision == "int8" else source
    compiled = _compiled(path, {**OPTIONS, "INFERENCE_PRECISION_HINT": HINTS[precision]})
    computed = computed_in(compiled)
    if computed != precision:
        raise BuildRefused(
            f"OpenVINO computes this network in {computed} on this processor, not in {precision}:"
            " build it on one that has it; --target onnx --precision bf16 emulates bf16 anywhere"
        )
    blob = out / f"model.{precision}.blob"
    blob.write_bytes(_exported(compiled))
    return path if precision == "int8" else blob


def predictor(path: Path) -> Predict | None:
    """Return what runs the build: its blob, loaded."""
    import openvino

    blob = path.with_suffix(".blob")
    return predict_with(openvino.Core().import_model(blob.read_bytes(), "CPU", OPTIONS))


def fp32(source: Path) -> Predict:
    """Return what runs an ONNX file in single precision: what every build is compared with."""
    return predict_with(_compiled(source, {**OPTIONS, "INFERENCE_PRECISION_HINT": "f32"}))


def notes(path: Path) -> dict[str, Any]:
    """Return OpenVINO's version, what the processor can, and what the layers are computed in."""
    import openvino

    core = openvino.Core()
    blob = path.with_suffix(".blob").read_bytes()
    compiled = core.import_model(blob, "CPU", OPTIONS)
    return {
        "openvino": openvino.__version__,
        "processor": sorted(core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")),
        "computed_in": computed_in(compiled),
        "layers": dict(sorted(_layers(compiled).items())),
    }


def load(source: Path, blob: Path, options: dict[str, Any]) -> tuple[Any, str]:
    """Return a compiled model, from the blob where it is good, else from `source`; and which.

    The second is "blob", or why it was not taken. A blob is good when its provenance names it and
    `source` by digest, and when OpenVINO accepts it: it writes its version and the processor's
    instruction set in front and takes no other. `options` are those of OpenVINO.
    """
    import openvino

    why = _why_not(source, blob)
    if not why:
        try:
            return openvino.Core().import_model(blob.read_bytes(), "CPU", options), "blob"
        except RuntimeError:  # its text is about OpenVINO's sources
            why = f"{blob.name} was written by another OpenVINO or for another kind of processor"
    return _compiled(source, options), why


def computed_in(compiled: Any) -> str:
    """Return fp32, bf16, fp16 or int8: what most layers that multiply are computed in."""
    counted: collections.Counter[str] = collections.Counter()
    for layer, count in _layers(compiled).items():
        kind = layer.split()[1]
        counted[KINDS.get(kind, kind)] += count
    return counted.most_common(1)[0][0] if counted else "fp32"


def predict_with(compiled: Any) -> Predict:
    """Return a predictor over a compiled model."""
    request = compiled.create_infer_request()

    def predict(images: Bytes) -> tuple[Bytes, Any]:
        found = request.infer({"image": images})
        return found["mask"].copy(), found["confidence"].copy()

    return predict


def _int8(source: Path, calibration: Bytes | None, out: Path) -> Path:
    from engine.builds import graph, quantise

    if calibration is None:
        raise ConfigError("int8 needs calibration pictures")
    model = quantise.as_int8(graph.read_model(source), calibration, quantise.UNSIGNED)
    return graph.write_model(model, out / "model.int8.onnx")


def _compiled(path: Path, options: dict[str, Any]) -> Any:
    import openvino

    return openvino.Core().compile_model(str(path), "CPU", options)


def _exported(compiled: Any) -> bytes:
    blob = compiled.export_model()
    return blob if isinstance(blob, bytes) else bytes(blob.read())


def _layers(compiled: Any) -> collections.Counter[str]:
    """Count the layers that multiply, by kind and precision, as compiled."""
    counted: collections.Counter[str] = collections.Counter()
    for layer in compiled.get_runtime_model().get_ordered_ops():
        told = layer.get_rt_info()
        if (kind := told["layerType"].value) in HEAVY:
            counted[f"{kind} {told['runtimePrecision'].value}"] += 1
    return counted


def _why_not(source: Path, blob: Path) -> str:
    """Say why the blob is not even tried; empty when it is."""
    record = blob.with_suffix(".json")
    if not blob.is_file() or not record.is_file():
        return f"there is no {blob.name} with its provenance"
    told = json.loads(record.read_text())
    if told["files"].get(blob.name) != _sha256(blob):
        return f"{blob.name} is not the file that {record.name} names"
    if _sha256(source) not in (told["source_sha256"], told["files"].get(source.name)):
        return f"{blob.name} was built from another {source.name}"
    return ""


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
