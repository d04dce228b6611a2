"""Target `tensorrt-rtx`: an engine of TensorRT for RTX, built ahead of time, without a GPU.

The engine runs on GPUs of compute capability 8.0, 8.6, 8.9, 12.0 and later, except that data-centre
GPUs such as the H100 (9.0) are not supported by NVIDIA; what depends on the GPU is compiled when it
is first loaded there. Triton has no backend for it: it is for programs at the edge, and it shows on
every machine that TensorRT's parser and compiler take our network. Networks are strongly typed.

Without a GPU an engine cannot be deserialised, so TensorRT's inspector has nothing to look at. What
is inspected is the network as parsed, the engine's header, and the tensors that its profiles bind.
"""

from __future__ import annotations

import collections
import importlib
import importlib.util
import json
import tempfile
from pathlib import Path
from typing import Any

from engine.builds.tensorrt import PROFILES, typed_onnx
from engine.errors import BuildRefused, ConfigError
from engine.training.data import Bytes
from engine.training.evaluate import Predict

precisions: tuple[str, ...] = ("fp32", "fp16", "int8")

PACKAGE = "tensorrt_rtx_bindings"  # `tensorrt_rtx` only repeats its names, and is a source package
ENGINE = "model.engine"
INSPECTION = "inspection.json"


def missing() -> str | None:
    """Say what to install; None where the package is there."""
    if importlib.util.find_spec(PACKAGE) is not None:
        return None
    return "TensorRT for RTX is not installed: pip install tensorrt-rtx-cu13-bindings (and -libs)"


def make(source: Path, precision: str, calibration: Bytes | None, out: Path) -> Path:
    """Write `model.engine` and `inspection.json` into `out`; return the engine.

    `source` is an ONNX file; for fp16 and int8 it is made over first, by the target `onnx`.
    Raises `ConfigError` without the package, `BuildRefused` where TensorRT refuses the network.
    """
    if (absent := missing()) is not None:
        raise ConfigError(absent)
    rtx = importlib.import_module(PACKAGE)
    log = _log_of(rtx)
    builder = rtx.Builder(log)
    with tempfile.TemporaryDirectory() as folder:
        onnx = typed_onnx(source, precision, calibration, Path(folder))
        network = _parsed(rtx, builder, onnx, log)
        engine = builder.build_serialized_network(network, _config(builder, network))
    if engine is None:
        raise BuildRefused(f"TensorRT-RTX cannot build {source.name}: {log.last()}")
    path = out / ENGINE
    path.write_bytes(engine)
    seen = _network(rtx, network) | inspect(path)
    (out / INSPECTION).write_text(json.dumps(seen, indent=1) + "\n")
    return path


def predictor(path: Path) -> Predict | None:
    """Return None: an engine runs only on a GPU."""
    return None


def notes(path: Path) -> dict[str, Any]:
    """Return what was inspected when the engine was built."""
    found: dict[str, Any] = json.loads((path.parent / INSPECTION).read_text())
    return found


def inspect(path: Path) -> dict[str, Any]:
    """Read an engine file, without a GPU: its version, size, and the tensors that profiles bind.

    Raises `BuildRefused` for a file that is no engine of the installed version, and for one that
    lacks a tensor of a profile.
    """
    rtx = importlib.import_module(PACKAGE)
    data = path.read_bytes()
    _, reasons = rtx.Runtime(_log_of(rtx)).get_engine_validity(data)
    broken = rtx.EngineInvalidityDiagnostics
    if reasons & (int(broken.MALFORMED_ENGINE) | int(broken.VERSION_MISMATCH)):
        raise BuildRefused(f"{path.name} is no engine of TensorRT-RTX {rtx.__version__}")
    names = [_bound(name, number) for number in range(len(PROFILES)) for name in TENSORS]
    absent = [name for name in names if name.encode() not in data]
    if absent:
        raise BuildRefused(f"{path.name} binds no tensor {', '.join(absent)}")
    return {"tensorrt_rtx": rtx.__version__, "bytes": len(data), "bound": names}


TENSORS = ("image", "mask", "confidence")


def _bound(name: str, profile: int) -> str:
    return f"{name} [profile {profile}]" if profile else name


def _parsed(rtx: Any, builder: Any, path: Path, log: Any) -> Any:
    """Return the network of an ONNX file, with the project's inputs and outputs."""
    network = builder.create_network(1 << int(rtx.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = rtx.OnnxParser(network, log)
    if not parser.parse(path.read_bytes()):
        said = "; ".join(parser.get_error(i).desc() for i in range(parser.num_errors))
        raise BuildRefused(f"TensorRT-RTX cannot read {path.name}: {said or log.last()}")
    tensors = [*_inputs(network), *_outputs(network)]
    if sorted(each.name for each in tensors) != sorted(TENSORS):
        found = ", ".join(each.name for each in tensors)
        raise BuildRefused(f"{path.name} has the tensors {found}; needed: {', '.join(TENSORS)}")
    return network


def _config(builder: Any, network: Any) -> Any:
    """Return the configuration with one optimization profile for each of `PROFILES`."""
    config = builder.create_builder_config()
    for given in PROFILES:
        profile = builder.create_optimization_profile()
        for tensor in _inputs(network):
            profile.set_shape(tensor.name, *((count, *tensor.shape[1:]) for count in given))
        config.add_optimization_profile(profile)
    return config


def _network(rtx: Any, network: Any) -> dict[str, Any]:
    """Return inputs, outputs, profiles, the layers, and what the convolutions compute in."""
    layers = [network.get_layer(number) for number in range(network.num_layers)]
    heavy = (rtx.LayerType.CONVOLUTION, rtx.LayerType.DECONVOLUTION)
    integers = _dequantised(rtx, layers)
    read = [each.get_input(0) for each in layers if each.type in heavy]
    kinds = ("INT8" if tensor.name in integers else tensor.dtype.name for tensor in read)
    return {
        "inputs": {each.name: _tensor(each) for each in _inputs(network)},
        "outputs": {each.name: _tensor(each) for each in _outputs(network)},
        "profiles": [list(profile) for profile in PROFILES],
        "layers": dict(collections.Counter(each.type.name for each in layers)),
        "convolutions_in": dict(collections.Counter(kinds)),
    }


def _dequantised(rtx: Any, layers: list[Any]) -> set[str]:
    """Return the tensors that are integers in disguise: a convolution of one computes in int8.

    The compiler moves quantisation through layers that only choose or move values.
    """
    moving = (rtx.LayerType.CONCATENATION, rtx.LayerType.POOLING, rtx.LayerType.SHUFFLE)
    found: set[str] = set()
    for layer in layers:  # in the order of computation
        read = {layer.get_input(number).name for number in range(layer.num_inputs)}
        if layer.type == rtx.LayerType.DEQUANTIZE or (layer.type in moving and read <= found):
            found.add(layer.get_output(0).name)
    return found


def _inputs(network: Any) -> list[Any]:
    return [network.get_input(number) for number in range(network.num_inputs)]


def _outputs(network: Any) -> list[Any]:
    return [network.get_output(number) for number in range(network.num_outputs)]


def _tensor(tensor: Any) -> list[Any]:
    return [tensor.dtype.name, *tensor.shape]


def _log_of(rtx: Any) -> Any:
    """Return a log that keeps what goes wrong: TensorRT would print it, and raises nothing."""

    class Log(rtx.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.said: list[str] = []

        def log(self, severity: Any, text: str) -> None:
            if severity <= rtx.ILogger.ERROR:
                self.said.append(text)

        def last(self) -> str:
            return self.said[-1] if self.said else "it said nothing"

    return Log()
