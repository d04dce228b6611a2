"""Run a model before it is kept: does it answer as the contract says, whatever is in its batch?"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import onnx
import openvino
from numpy.typing import NDArray
from onnx import TensorProto, helper

from engine.builds.network import line
from engine.builds.wrap import CHANCES, GIVEN, SIDE
from engine.enhance import enhance_array
from engine.errors import BuildRefused
from engine.phantom import Phantom

Bytes = NDArray[np.uint8]

EXACT = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
ALONE = 0.999  # share of pixels that must not depend on what else is in the batch


@cache
def pictures(chain: str) -> Bytes:
    """Return what a model is tried on: three phantom frames as the chain draws them.

    uint8 [3, 1, 256, 256], read-only.
    """
    phantom = Phantom(seed=1)
    frames = [phantom.image(number, 0) for number in range(3)]
    drawn = np.stack([enhance_array(frame, chain) for frame in frames])[:, None]
    drawn.flags.writeable = False
    return drawn


def try_out(data: bytes, labels: Sequence[str], images: Bytes) -> None:
    """Run the model in OpenVINO; raise `BuildRefused` naming what it does not keep of the contract.

    Also on a black picture: nothing is found there, and a mean over no pixels is easily no number.
    Also that a picture's answer does not depend on the others in its batch: a network exported
    while training normalises over the batch, and gives each scanner something else.
    """
    try:
        model = openvino.Core().read_model(data)
        _check_ports(model)
        request = openvino.Core().compile_model(model, "CPU", EXACT).create_infer_request()
        together = _answer(request, images)
        alone = [_answer(request, image[None]) for image in images]
        black = _answer(request, np.zeros_like(images[:1]))
    except RuntimeError as error:
        raise BuildRefused(f"OpenVINO cannot run it: {line(error)}") from error
    for mask, confidence in (together, *alone):
        _check_answer(mask, confidence, len(labels))
    _check_answer(*black, len(labels), of=" of a black picture")
    same = np.mean(together[0] == np.concatenate([mask for mask, _ in alone]))
    if same < ALONE:
        raise BuildRefused(
            f"only {same:.1%} of the pixels keep their label when a picture is alone in its batch:"
            " export the network in evaluation mode"
        )


def check_numbers(model: onnx.ModelProto, images: Bytes) -> None:
    """Raise `BuildRefused` where a wrapped network gives what is no number.

    Its answer does not always tell: on processors with AVX-512 OpenVINO's sigmoid makes 0 of NaN.
    """
    if np.any(np.isnan(_inside(model, GIVEN, images))):
        raise BuildRefused(
            "the network gives values that are no numbers (NaN) for a phantom's frames: check"
            " --scale, and the network itself"
        )


def check_probabilities(model: onnx.ModelProto, images: Bytes) -> None:
    """Raise `BuildRefused` where the planes that a wrapped network gives leave [0, 1]."""
    found = _inside(model, CHANCES, images)
    if not np.all((found >= 0) & (found <= 1)):
        raise BuildRefused(
            f"the output has values from {found.min():.3g} to {found.max():.3g}, and"
            " --probabilities says [0, 1]: leave it out where these are logits"
        )


def _inside(model: onnx.ModelProto, name: str, images: Bytes) -> NDArray[np.float32]:
    """Return a value inside the wrapped network, float32 [N, planes, rows, columns]."""
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    shape = ["N", None, None, None]
    probe.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
    try:
        core = openvino.Core()
        compiled = core.compile_model(core.read_model(probe.SerializeToString()), "CPU", EXACT)
        found: NDArray[np.float32] = compiled.create_infer_request().infer({"image": images})[name]
    except RuntimeError as error:
        raise BuildRefused(f"OpenVINO cannot run it: {line(error)}") from error
    return found


def _check_ports(model: Any) -> None:
    shape = model.input("image").get_partial_shape()
    if shape.rank.is_static and len(shape) == 4 and shape[0].is_static:
        raise BuildRefused(f"input `image` is {shape}: export it with a dynamic first axis")
    if not shape.compatible(openvino.PartialShape([-1, 1, SIDE, SIDE])):
        raise BuildRefused(
            f"input `image` is {shape}: chains draw pictures of {SIDE} x {SIDE}; give the network"
            " with float input and logits, and it is wrapped with the resizing inside"
        )


def _answer(request: Any, images: Bytes) -> tuple[NDArray[Any], NDArray[Any]]:
    found = request.infer({"image": images})
    return found["mask"].copy(), found["confidence"].copy()


def _check_answer(
    mask: NDArray[Any], confidence: NDArray[Any], labels: int, *, of: str = ""
) -> None:
    count = len(mask)
    if mask.dtype != np.uint8 or mask.shape != (count, SIDE, SIDE):
        raise BuildRefused(
            f"output `mask` is {mask.dtype} {mask.shape}, not uint8 [N, {SIDE}, {SIDE}]"
        )
    if confidence.dtype != np.float32 or confidence.shape != (count, labels):
        raise BuildRefused(
            f"output `confidence` is {confidence.dtype} {confidence.shape}, not float32 [N,"
            f" {labels}], one for each of --labels"
        )
    if mask.max() > labels:
        raise BuildRefused(f"`mask` holds {mask.max()}, and --labels has {labels} names")
    if not np.all((confidence >= 0) & (confidence <= 1)):  # NaN is neither
        raise BuildRefused(
            f"`confidence`{of} is not within [0, 1]; where a label has no pixel it must be 0"
        )
