"""A backend of Triton, in Python: any ONNX model, run by OpenVINO on a CPU.

Triton takes it for every model whose configuration says `backend: "scanstream_openvino"` (a
"Python-based backend": one file for all models; a version folder holds weights and no code).

A version folder holds `model.onnx` and, optionally, `model.int8.onnx`, the same network quantised
(Q/DQ), and the same compiled ahead, `model.PRECISION.blob` with its provenance. Inputs and outputs
are those of the configuration, the first axis is the batch. An output named `about` is this
backend's own, uint8 [N, size]: space-padded JSON that says what served (the SHA-256 of the weights
file, the precision really computed in, the runtime), made only when asked for. The parameters
`precision` (auto, fp32, bf16, int8) and `model_threads` may be given; SCANSTREAM_PRECISION and
SCANSTREAM_MODEL_THREADS of the environment win over them.
"""

import collections
import ctypes
import hashlib
import json
import os
import pathlib

import numpy as np
import openvino
import triton_python_backend_utils as pb_utils

ABOUT = "about"
QUANTISED = "model.int8.onnx"
DEFAULTS = {"precision": "auto", "model_threads": "2"}
HINTS = {"fp32": "f32", "bf16": "bf16", "int8": "f32"}
# What costs the time: the precision of most of these is the precision of the model.
HEAVY = ("Convolution", "Deconvolution", "MatMul", "FullyConnected")
NAMES = {"f32": "fp32", "f16": "fp16", "i8": "int8", "u8": "int8"}

forget_destructor = ctypes.pythonapi.PyCapsule_SetDestructor
forget_destructor.argtypes = [ctypes.py_object, ctypes.c_void_p]


def refuse(model, what):
    """Say why a model cannot be served; Triton shows it to whoever loads the model."""
    raise pb_utils.TritonModelException(f"model {model}: {what}")


def setting(config, name):
    """Return the environment's value, else the parameter of config.pbtxt, else the default."""
    given = os.environ.get(f"SCANSTREAM_{name.upper()}")
    parameter = config["parameters"].get(name, {}).get("string_value")
    return given or parameter or DEFAULTS[name]


def chosen(core, wanted, folder):
    """Return fp32, bf16 or int8; `auto` is int8 where it was built, else what the processor has.

    That is bf16 where it computes in it, else fp32 (docs/decisions/0011-builds.md).
    """
    if wanted != "auto":
        return wanted
    if (folder / QUANTISED).is_file():
        return "int8"
    able = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return "bf16" if able else "fp32"


def weights(config, folder, precision):
    """Return the file to serve; refuse a precision that is unknown or was not built."""
    if precision not in HINTS:
        refuse(config["name"], f"precision must be auto, fp32, bf16 or int8, got {precision}")
    path = folder / (QUANTISED if precision == "int8" else "model.onnx")
    if not path.is_file():
        cure = "build it with `scanstream model build --target openvino --precision int8`"
        cure = cure if precision == "int8" else "every version needs it"
        refuse(config["name"], f"version {folder.name} has no {path.name}: {cure}")
    return path


def compile_model(core, config, path, precision):
    """Compile with explicit threads and precision; OpenVINO would choose silently."""
    options = {
        "INFERENCE_PRECISION_HINT": HINTS[precision],
        "INFERENCE_NUM_THREADS": int(setting(config, "model_threads")),
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
    }
    blob = path.parent / f"model.{precision}.blob"
    if blob.is_file() and (compiled := compiled_ahead(core, path, blob, options)) is not None:
        return compiled
    try:
        return core.compile_model(str(path), "CPU", options)
    except RuntimeError as error:
        refuse(config["name"], f"OpenVINO cannot compile {path.name}: {error}")


def compiled_ahead(core, path, blob, options):
    """Return the network from its blob, None where that is not of this file, OpenVINO or processor.

    It spares the other versions of the model, which serve meanwhile, most of the compiler's work.
    """
    if not is_of(path, blob):
        pb_utils.Logger.log_warn(f"{blob} is not used: it was not built from {path.name}")
        return None
    try:
        return core.import_model(blob.read_bytes(), "CPU", options)
    except RuntimeError:  # OpenVINO compares its own version, and the instruction set
        pb_utils.Logger.log_warn(f"{blob} is not used: it is of another OpenVINO or processor")
        return None


def is_of(path, blob):
    """True where the provenance beside the blob names it, and `path`, by their digests."""
    try:
        told = json.loads(blob.with_suffix(".json").read_text())
        sources = (told["source_sha256"], told["files"].get(path.name))
        return told["files"].get(blob.name) == sha256(blob) and sha256(path) in sources
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def sha256(path):
    """Return the SHA-256 of a file, in hexadecimal digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def check_tensors(config, compiled):
    """Refuse a configuration that is not about this file: Triton itself would not notice."""
    for side, ports in (("input", compiled.inputs), ("output", compiled.outputs)):
        there = {name: port for port in ports for name in port.get_names()}
        for given in config[side]:
            name = given["name"]
            if name == ABOUT:
                continue
            if name not in there:
                refuse(config["name"], f"the file has no {side} {name}: {', '.join(there)}")
            expected = np.dtype(pb_utils.triton_string_to_numpy(given["data_type"]))
            found = there[name].get_element_type().to_dtype()
            if found != expected:
                refuse(config["name"], f"{side} {name} is {found}, config.pbtxt says {expected}")
            sizes = there[name].get_partial_shape()
            if not openvino.PartialShape([-1, *map(int, given["dims"])]).compatible(sizes):
                refuse(config["name"], f"{side} {name} is {sizes}, config.pbtxt {given['dims']}")


def check_fed(config, compiled):
    """Refuse a file with an input that nobody feeds: OpenVINO would run on what lies there."""
    fed = {given["name"] for given in config["input"]}
    for port in compiled.inputs:
        if not fed & port.get_names():
            refuse(config["name"], f"config.pbtxt has no input {port.get_any_name()}")


def precision_of(compiled, asked):
    """Return what most of the heavy layers compute in: OpenVINO does not always as it is asked."""
    layers = [op.get_rt_info() for op in compiled.get_runtime_model().get_ops()]
    kinds = collections.Counter(
        layer["runtimePrecision"].astype(str).lower()
        for layer in layers
        if layer["layerType"].astype(str) in HEAVY
    )
    kind = kinds.most_common(1)[0][0] if kinds else HINTS[asked]
    return NAMES.get(kind, kind)


def tensor_of(name, values):
    """Hand an array to Triton without a copy; `Tensor(name, array)` is empty under numpy 2.

    Triton 2.51 takes the array over but marks the capsule as used under a name of its own, which
    makes numpy's destructor of the capsule complain in the log: it has nothing left to free.
    """
    capsule = values.__dlpack__()
    tensor = pb_utils.Tensor.from_dlpack(name, capsule)
    forget_destructor(capsule, None)
    return tensor


class TritonPythonModel:
    """One instance of one version: a compiled model and one inference request."""

    def initialize(self, args):
        """Choose the file, compile it, compare it with the configuration."""
        config = json.loads(args["model_config"])
        self.name = config["name"]
        folder = pathlib.Path(args["model_repository"], args["model_version"])
        core = openvino.Core()
        asked = chosen(core, setting(config, "precision"), folder)
        path = weights(config, folder, asked)
        compiled = compile_model(core, config, path, asked)
        check_tensors(config, compiled)
        check_fed(config, compiled)
        self.request = compiled.create_infer_request()
        self.inputs = [each["name"] for each in config["input"]]
        self.outputs = [each["name"] for each in config["output"] if each["name"] != ABOUT]
        self.about = self.make_about(config, path, precision_of(compiled, asked))

    def make_about(self, config, path, precision):
        """Return the row of `about`, uint8 [size], or None where the model has no such output."""
        sizes = [int(one["dims"][0]) for one in config["output"] if one["name"] == ABOUT]
        if not sizes:
            return None
        digest = sha256(path)
        runtime = "openvino " + openvino.__version__.split("-")[0]
        text = json.dumps({"digest": digest, "precision": precision, "runtime": runtime}).encode()
        if len(text) > sizes[0]:
            refuse(self.name, f"output {ABOUT} has {sizes[0]} bytes, it takes {len(text)}")
        return np.frombuffer(text.ljust(sizes[0]), np.uint8)

    def run(self, batches):
        """Return the outputs of all batches together: views of memory that the next run writes."""
        feed = batches[0]
        if len(batches) > 1:
            feed = {name: np.concatenate([one[name] for one in batches]) for name in self.inputs}
        found = self.request.infer(feed, share_inputs=True, share_outputs=True)
        return {name: found[name] for name in self.outputs}

    def execute(self, requests):
        """Run all requests as one batch; an error is answered to each of them."""
        try:
            batches = [self.read(request) for request in requests]
            found = self.run(batches)
        except Exception as error:
            failed = pb_utils.TritonError(f"{self.name}: {error}")
            return [pb_utils.InferenceResponse(error=failed) for _ in requests]
        responses, start = [], 0
        for request, batch in zip(requests, batches, strict=True):
            stop = start + len(batch[self.inputs[0]])
            responses.append(self.answer(request, found, start, stop))
            start = stop
        return responses

    def read(self, request):
        """Return the inputs of one request by name, views of Triton's memory."""
        # as_numpy() of Triton 2.51 repeats the first value everywhere under numpy 2
        tensors = {name: pb_utils.get_input_tensor_by_name(request, name) for name in self.inputs}
        return {name: np.from_dlpack(tensor) for name, tensor in tensors.items()}

    def answer(self, request, found, start, stop):
        """Build one response of what its request asked for; Triton copies it on return."""
        wanted = request.requested_output_names()
        tensors = [tensor_of(n, found[n][start:stop]) for n in self.outputs if n in wanted]
        if self.about is not None and ABOUT in wanted:
            tensors.append(tensor_of(ABOUT, np.tile(self.about, (stop - start, 1))))
        return pb_utils.InferenceResponse(output_tensors=tensors)
