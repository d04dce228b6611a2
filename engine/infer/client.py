"""One model of a Triton server, reached over gRPC, its tensors through shared memory."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from tritonclient.grpc.aio import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException

from engine.errors import FrameError, ModelUnavailable
from engine.infer import answers
from engine.infer.contract import UNKNOWN, Contract, read_contract
from engine.infer.repair import is_open, reload
from engine.infer.ring import Ring
from engine.infer.slots import Slot
from engine.messages import ModelRef
from engine.novelty import Range

log = logging.getLogger(__name__)

MAX_QUEUE_MS = 3_600_000.0  # a deadline further away bounds nothing
LATE_FACTOR = 10  # an unanswered request is left running for this many times `timeout_s`
_CHANNEL = [
    ("grpc.enable_http_proxy", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # Triton takes more than two pings without data in five minutes for an attack.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.keepalive_permit_without_calls", 0),
    ("grpc.http2.max_pings_without_data", 2),
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
]


class TritonModel:
    """A served segmentation model. For one event loop; at most `slots` requests in flight.

    Images go out and masks come back through system shared memory where the server takes it (it
    must run on this host), else as gRPC tensors. A call waits at most `timeout_s` for each of the
    connection, a slot and the answer. After `ModelUnavailable` the next call connects again, and
    learns then which model answers.
    """

    def __init__(
        self,
        address: str,
        name: str,
        *,
        version: str = "",
        max_batch: int,
        slots: int,
        timeout_s: float,
        shared_memory: bool = True,
    ) -> None:
        self._address = address
        self._name = name
        self._version = version
        self._max_batch = max_batch
        self._slots = slots
        self._timeout_s = timeout_s
        self._shared_memory = shared_memory
        self._in_flight = asyncio.Semaphore(slots)
        self._attempt: asyncio.Task[None] | None = None
        self._client: Any = None
        self._ring: Ring | None = None
        self._contract: Contract | None = None
        self._session = 0  # counts connections
        self._connected = False
        self._ref = ModelRef(name=name, version=version, digest=UNKNOWN, precision=UNKNOWN)

    @property
    def ref(self) -> ModelRef:
        """Name, version, digest and precision of what answered last."""
        return self._ref

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the label map's values, from 1; known after `start`."""
        return self._kept.labels

    @property
    def input_shape(self) -> tuple[int, int]:
        """(rows, columns) of an image; known after `start`."""
        return self._kept.input_shape

    @property
    def trained_range(self) -> Range | None:
        """What its training pictures looked like, where it says; known after `start`."""
        return self._kept.trained_range

    @property
    def uses_shared_memory(self) -> bool:
        """True while images and masks go through shared memory."""
        return self._ring is not None and self._ring.sharing

    async def start(self) -> None:
        """Connect and learn what is served.

        Raises `ModelUnavailable`: no server, no such model, or one that does not keep the contract
        nor one that takes batches of `max_batch`.
        """
        await self._ensure_connected()

    async def infer(
        self, images: Sequence[np.ndarray], *, budget_ms: float | None = None
    ) -> list[answers.Segmentation]:
        """Segment at most `max_batch` images, uint8 (rows, columns); answers in their order.

        `budget_ms` bounds the time in Triton's queue where the model's queue policy allows that;
        images that waited longer are `late`, and asked for again, behind what is in time. Raises
        `ModelUnavailable` without an answer in time, `FrameError` where the images are refused.
        """
        if not images:
            return []
        late, until_s = False, time.monotonic() + (budget_ms or MAX_QUEUE_MS) / 1000
        for _ in range(2):  # a server that has restarted has lost its registrations
            await self._ensure_connected()
            self._check(images)
            await self._acquire()
            session = self._session
            try:
                found = await self._infer(images, budget_ms, session)
                return [replace(one, late=True) for one in found] if late else found
            except answers.RegionLost:
                self._lose(session)
            except answers.QueueExpired:  # the model's own limit may be shorter than the budget
                late, budget_ms = time.monotonic() >= until_s, None
            finally:
                self._in_flight.release()
        raise ModelUnavailable("Triton twice lost the shared memory or let a request wait too long")

    async def close(self) -> None:
        """Unregister and unlink the shared memory, and close the connection."""
        if self._attempt:
            self._attempt.cancel()
            await asyncio.gather(self._attempt, return_exceptions=True)
        if self._ring:
            await self._ring.close()
        if self._client:
            await self._client.close()
        self._client = self._ring = None
        self._connected = False

    @property
    def _kept(self) -> Contract:
        if self._contract is None:
            raise ModelUnavailable(f"Triton's model {self._name} has not answered yet")
        return self._contract

    async def _ensure_connected(self) -> None:
        """Connect if there is no connection; callers side by side share one attempt."""
        self._connected = self._connected and is_open(self._client)
        if self._connected:
            return
        if self._attempt is None or self._attempt.done():
            self._attempt = asyncio.create_task(self._connect())
            self._attempt.add_done_callback(_retrieve)
        await asyncio.shield(self._attempt)

    async def _connect(self) -> None:
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._shake_hands()
        except TimeoutError:
            raise ModelUnavailable(f"Triton does not answer within {self._timeout_s} s") from None
        except InferenceServerException as error:
            if answers.is_process_dead(error):
                await reload(self._client, self._name, timeout_s=self._timeout_s)
            raise answers.unavailable(error, self._name) from error

    async def _shake_hands(self) -> None:
        """Ask the server for the model, and learn again everything that a restart may change."""
        if self._ring is None:
            self._client = InferenceServerClient(self._address, channel_args=_CHANNEL)
            self._ring = Ring(
                self._client,
                count=self._slots,
                timeout_s=self._timeout_s,
                wanted=self._shared_memory,
            )
        metadata = await self._client.get_model_metadata(self._name, self._version)
        answer = await self._client.get_model_config(self._name, self._version)
        self._contract = kept = read_contract(metadata, answer.config)
        if self._max_batch > kept.max_batch:
            raise ModelUnavailable(  # not the frames' fault: they wait until it is put right
                f"setting `max_batch` is {self._max_batch}, "
                f"Triton's model {self._name} takes {kept.max_batch}"
            )
        if not kept.queue_timeout:
            log.warning("model %s allows no queue timeout: budgets do not bound it", self._name)
        self._session += 1
        await self._ring.renew(self._session, self._max_batch, kept.input_shape)
        blank = [np.zeros(kept.input_shape, np.uint8)]
        self._ref = answers.read_ref(await self._request(blank, None, None), self._name, kept)
        self._connected = True

    def _check(self, images: Sequence[np.ndarray]) -> None:
        if len(images) > self._max_batch:
            raise ValueError(f"{len(images)} images, `max_batch` is {self._max_batch}")
        shape = self._kept.input_shape
        for image in images:
            if image.shape != shape or image.dtype != np.uint8:
                raise FrameError(
                    f"the model takes uint8 {shape}, the image is {image.dtype} {image.shape}"
                )

    async def _acquire(self) -> None:
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._in_flight.acquire()
        except TimeoutError:
            raise ModelUnavailable(f"no slot came free within {self._timeout_s} s") from None

    async def _infer(
        self, images: Sequence[np.ndarray], budget_ms: float | None, session: int
    ) -> list[answers.Segmentation]:
        """Carry one batch to the server and back. The slot is free once the masks are copied."""
        ring = self._ring
        if ring is None:
            raise ModelUnavailable("the client is closed")
        slot: Slot | None = None
        call: asyncio.Task[Any] | None = None
        try:
            slot = await ring.take()
            call = asyncio.create_task(self._request(images, slot, budget_ms))
            async with asyncio.timeout(self._timeout_s):
                result = await asyncio.shield(call)
        except InferenceServerException as error:
            ring.give_back(slot, settled=answers.is_settled(error))
            raise self._translated(error, session) from error
        except (TimeoutError, asyncio.CancelledError) as error:
            if call is not None:
                ring.await_late(call, slot)
            if isinstance(error, asyncio.CancelledError):
                raise
            self._lose(session)
            raise ModelUnavailable(f"Triton does not answer within {self._timeout_s} s") from None
        except Exception:  # a request that could not be built was never sent
            ring.give_back(slot, settled=True)
            raise
        try:
            segmented = answers.read(result, len(images), slot, self._name, self._kept)
            self._ref = segmented[0].model
            return segmented
        finally:
            ring.give_back(slot, settled=True)

    async def _request(
        self, images: Sequence[np.ndarray], slot: Slot | None, budget_ms: float | None
    ) -> Any:
        """Send one request. `about` comes with every answer, so that each names its model."""
        kept = self._kept
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
        queue_us = None
        if kept.queue_timeout and budget_ms is not None and budget_ms > 0:
            queue_us = max(1, round(min(budget_ms, MAX_QUEUE_MS) * 1000))
        return await self._client.infer(
            self._name,
            [image],
            self._version,
            outputs,
            timeout=queue_us,
            client_timeout=self._timeout_s * LATE_FACTOR,
        )

    def _translated(self, error: InferenceServerException, session: int) -> Exception:
        meaning = answers.translated(error, self._name)
        if isinstance(meaning, ModelUnavailable):
            self._lose(session)
        return meaning

    def _lose(self, session: int) -> None:
        """Connect again before the next call, unless that has happened already."""
        if session == self._session:
            self._connected = False


def _retrieve(task: asyncio.Task[None]) -> None:
    """Look at the outcome, lest asyncio report it where every caller has gone."""
    if not task.cancelled():
        task.exception()
