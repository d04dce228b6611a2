"""One request to Triton: what it asks, of which version, in which place of the queue."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from tritonclient.grpc.aio import InferInput, InferRequestedOutput

from engine.errors import FrameError
from engine.infer.contract import Contract
from engine.infer.slots import Slot
from engine.messages import Lane

MAX_QUEUE_MS = 3_600_000.0  # a deadline further away bounds nothing


class Served(NamedTuple):
    """A version of a model and what it promised; `version` "" is the one that Triton chooses."""

    name: str
    version: str
    contract: Contract


class Place(NamedTuple):
    """Where a request stands in Triton's queue, and for how long at most.

    `again` is true of what waited too long once: it must not wait behind what came later.
    """

    lane: Lane = "bulk"
    budget_ms: float | None = None
    again: bool = False

    def priority(self, levels: int) -> int:
        """Return Triton's priority, 1 first; 0 where the model has fewer than two levels."""
        if levels < 2:
            return 0
        if self.lane == "stat":
            return 1
        return max(1, levels - 1) if self.again else levels

    def queue_us(self) -> int | None:
        """Return the longest time in the queue in microseconds, None for no bound of our own."""
        if self.budget_ms is None or self.budget_ms <= 0:
            return None
        return max(1, round(min(self.budget_ms, MAX_QUEUE_MS) * 1000))


class Request(NamedTuple):
    """What is sent: tritonclient's inputs and outputs, about `served`, from `place`."""

    served: Served
    place: Place
    image: InferInput
    outputs: list[InferRequestedOutput]

    async def send(self, client: Any, timeout_s: float) -> Any:
        """Return tritonclient's `InferResult`; raises `InferenceServerException`."""
        kept = self.served.contract
        return await client.infer(
            self.served.name,
            [self.image],
            self.served.version,
            self.outputs,
            priority=self.place.priority(kept.priority_levels),
            timeout=self.place.queue_us() if kept.queue_timeout else None,
            client_timeout=timeout_s,
        )


def prepare(
    served: Served, images: Sequence[np.ndarray], slot: Slot | None, place: Place
) -> Request:
    """Copy `images` into `slot`, or into the request where there is none.

    `about` is asked for with every answer, so that each names its model.
    """
    kept = served.contract
    image = InferInput("image", [len(images), 1, *kept.input_shape], "UINT8")
    outputs = [InferRequestedOutput("mask"), InferRequestedOutput("confidence")]
    if kept.has_about:
        outputs.append(InferRequestedOutput("about"))
    if slot is None:
        image.set_data_from_numpy(np.stack(images)[:, None])
    else:
        size = np.stack(images, out=slot.images[: len(images)]).nbytes
        image.set_shared_memory(slot.name, size)
        outputs[0].set_shared_memory(slot.name, size, slot.offset)
    return Request(served, place, image, outputs)


def check(images: Sequence[np.ndarray], max_batch: int, shape: tuple[int, int]) -> None:
    """Raise `FrameError` for an image that is not uint8 of `shape`, `ValueError` for too many."""
    if len(images) > max_batch:
        raise ValueError(f"{len(images)} images, `max_batch` is {max_batch}")
    for image in images:
        if image.shape != shape or image.dtype != np.uint8:
            raise FrameError(
                f"the model takes uint8 {shape}, the image is {image.dtype} {image.shape}"
            )
