"""What Triton answers: its errors told apart, its tensors read."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from tritonclient.utils import InferenceServerException

from engine.errors import EngineError, FrameError, ModelUnavailable
from engine.infer.contract import Contract, read_about
from engine.infer.request import Served
from engine.infer.slots import Slot
from engine.messages import ModelRef
from engine.novelty import Range

ALREADY_EXISTS = "StatusCode.ALREADY_EXISTS"
_REFUSED = ("StatusCode.INVALID_ARGUMENT", "StatusCode.OUT_OF_RANGE")
_FAILED = "StatusCode.INTERNAL"
_AWAY = ("UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED", "UNKNOWN")
# Triton 2.51 says these in words only; the status alone does not tell.
_REGION_LOST = "unable to find shared memory region"
_STUB_DIED = "stub process"
_EXPIRED = "request timeout expired"
_NEVER_STARTED = ("failed to connect", _EXPIRED, "exceeds maximum queue size")


@dataclass(frozen=True, slots=True)
class Segmentation:
    """What the model says of one image.

    `mask` is a label map, uint8 (rows, columns) on the model's grid, in memory of its own;
    `confidence` is in [0, 1], one for each label; `model` is what answered this very request.
    `labels` names the map's values, from 1, and `trained_range` is what that model's training
    pictures looked like, None where it does not say. `late` is true where the budget ran out in
    Triton's queue, before the model began.
    """

    mask: np.ndarray
    confidence: tuple[float, ...]
    model: ModelRef
    labels: tuple[str, ...] = ()
    trained_range: Range | None = None
    late: bool = False


class RegionLost(Exception):
    """The server does not know a region that it knew: it has restarted."""


class QueueExpired(Exception):
    """The request waited longer in Triton's queue than it asked for, and was never computed."""


def translated(
    error: InferenceServerException, name: str
) -> EngineError | RegionLost | QueueExpired:
    """Return what a failed request means to the caller."""
    words = _words(error)
    if _REGION_LOST in words.lower():
        return RegionLost(words)
    if _EXPIRED in words.lower():
        return QueueExpired(words)
    if error.status() in _REFUSED:
        return FrameError(f"Triton refuses the images: {words}")
    if error.status() == _FAILED and not is_process_dead(error):
        return FrameError(f"model {name} failed on the images: {words}")
    return unavailable(error, name)


def unavailable(error: InferenceServerException, name: str) -> ModelUnavailable:
    """Return the error of a model that does not answer, in Triton's own words."""
    return ModelUnavailable(f"Triton does not serve model {name}: {_words(error)}")


def is_process_dead(error: InferenceServerException) -> bool:
    """True where the process behind the model has died, which Triton does not start again."""
    return _STUB_DIED in _words(error).lower()


def is_away(error: InferenceServerException) -> bool:
    """True where the transport failed, so that the server may not have answered at all."""
    return str(error.status()).removeprefix("StatusCode.") in _AWAY


def is_settled(error: InferenceServerException) -> bool:
    """True where the server certainly does not work on the request any more."""
    return not is_away(error) or any(words in _words(error).lower() for words in _NEVER_STARTED)


def read(result: Any, count: int, slot: Slot | None, served: Served) -> list[Segmentation]:
    """Return the answers of `count` images in memory of their own; the slot is free afterwards.

    Raises `FrameError` where the answer is not what the contract promises.
    """
    kept = served.contract
    masks = _read_masks(result, count, slot, kept)
    confidence = _read_confidence(result, count, kept)
    ref = _read_ref(result, served)
    return [
        Segmentation(mask, given, ref, kept.labels, kept.trained_range)
        for mask, given in zip(masks, confidence, strict=True)
    ]


def _read_ref(result: Any, served: Served) -> ModelRef:
    """Return which model answered: from `about` where it gives one, else from its configuration."""
    kept = served.contract
    about = read_about(result.as_numpy("about")[0].tobytes()) if kept.has_about else {}
    version = result.get_response().model_version
    return ModelRef(
        name=served.name,
        version=version,
        digest=about.get("digest", kept.told("digest", version)),
        precision=about.get("precision", kept.told("precision", version)),
    )


def _read_masks(result: Any, count: int, slot: Slot | None, kept: Contract) -> list[np.ndarray]:
    shape = [count, *kept.input_shape]
    output = result.get_output("mask")
    if output is None or list(output.shape) != shape:
        raise FrameError(f"the model's output `mask` is not of shape {shape}")
    masks = result.as_numpy("mask") if slot is None else slot.masks
    return [masks[index].copy() for index in range(count)]


def _read_confidence(result: Any, count: int, kept: Contract) -> list[tuple[float, ...]]:
    values = result.as_numpy("confidence")
    if values is None or values.shape != (count, len(kept.labels)):
        raise FrameError("the model's output `confidence` is not [N, labels]")
    rows = [tuple(float(one) for one in row) for row in values]
    if not all(math.isfinite(one) and -1e-3 <= one <= 1.001 for row in rows for one in row):
        raise FrameError("the model's output `confidence` is not in [0, 1]")
    return [tuple(min(1.0, max(0.0, one)) for one in row) for row in rows]


def _words(error: InferenceServerException) -> str:
    text = " ".join(str(error.message()).split())
    return text.removeprefix("[request id: <id_unknown>] ")[:300]
