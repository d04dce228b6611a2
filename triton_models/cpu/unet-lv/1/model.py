"""Serve model.onnx with OpenVINO behind Triton's Python backend.

Input `image` uint8 [N, 1, 256, 256]; outputs `mask` uint8 [N, 256, 256], `confidence` float32
[N, 1] and, only when asked for, `about` uint8 [N, 256]: space-padded JSON that says what served.
"""

import ctypes
import hashlib
import json
import os
import pathlib

import numpy as np
import openvino
import triton_python_backend_utils as pb_utils

ABOUT_BYTES = 256

forget_destructor = ctypes.pythonapi.PyCapsule_SetDestructor
forget_destructor.argtypes = [ctypes.py_object, ctypes.c_void_p]


def setting(config, name):
    """Return the environment's value, else the parameter of config.pbtxt."""
    given = os.environ.get(f"SCANSTREAM_{name.upper()}")
    return given or config["parameters"][name]["string_value"]


def hint_for(core, wanted):
    """Return OpenVINO's precision hint; `auto` takes bf16 where the processor computes in it."""
    if wanted not in ("auto", "fp32", "bf16"):
        raise pb_utils.TritonModelException(f"precision must be auto, fp32 or bf16, got {wanted}")
    if wanted == "auto":
        able = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        return "bf16" if able else "f32"
    return {"fp32": "f32", "bf16": "bf16"}[wanted]


def precision_of(compiled):
    """Return fp32 or bf16, as compiled: OpenVINO turns bf16 down silently where there is none."""
    kind = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
    return {"f32": "fp32"}.get(kind, kind)


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
    """One instance: a compiled model and one inference request."""

    def initialize(self, args):
        """Compile the model with explicit threads and precision; OpenVINO would choose silently."""
        config = json.loads(args["model_config"])
        path = pathlib.Path(args["model_repository"], args["model_version"], "model.onnx")
        core = openvino.Core()
        options = {
            "INFERENCE_PRECISION_HINT": hint_for(core, setting(config, "precision")),
            "INFERENCE_NUM_THREADS": int(setting(config, "model_threads")),
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
        }
        compiled = core.compile_model(str(path), "CPU", options)
        self.request = compiled.create_infer_request()
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        runtime = "openvino " + openvino.__version__.split("-")[0]
        about = {"digest": digest, "precision": precision_of(compiled), "runtime": runtime}
        text = json.dumps(about).encode().ljust(ABOUT_BYTES)
        self.about = np.frombuffer(text, np.uint8)
        side = config["input"][0]["dims"][-1]
        self.run(np.zeros((1, 1, side, side), np.uint8))  # the first run allocates

    def run(self, images):
        """Return `(mask, confidence)` of uint8 [N, 1, H, W]; both own their memory."""
        found = self.request.infer({"image": images})
        return found["mask"].copy(), found["confidence"].copy()

    def execute(self, requests):
        """Run all requests as one batch; an error is answered to each of them."""
        # as_numpy() of this build repeats the first value everywhere under numpy 2
        images = [np.from_dlpack(pb_utils.get_input_tensor_by_name(r, "image")) for r in requests]
        try:
            mask, confidence = self.run(images[0] if len(images) == 1 else np.concatenate(images))
        except Exception as error:
            failed = pb_utils.TritonError(f"unet-lv: {error}")
            return [pb_utils.InferenceResponse(error=failed) for _ in requests]
        responses, start = [], 0
        for request, image in zip(requests, images, strict=True):
            stop = start + len(image)
            outputs = {"mask": mask[start:stop], "confidence": confidence[start:stop]}
            responses.append(self.answer(request, outputs, len(image)))
            start = stop
        return responses

    def answer(self, request, outputs, count):
        """Build one response with the outputs that its request asked for."""
        wanted = request.requested_output_names()
        if "about" in wanted:
            outputs["about"] = np.tile(self.about, (count, 1))
        tensors = [tensor_of(name, outputs[name]) for name in outputs if name in wanted]
        return pb_utils.InferenceResponse(output_tensors=tensors)
