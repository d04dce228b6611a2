"""One model of a Triton server, reached over gRPC, its tensors through shared memory."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
from tritonclient.utils import InferenceServerException

from engine.errors import ModelUnavailable
from engine.infer import answers, trial
from engine.infer.breaker import State
from engine.infer.contract import UNKNOWN
from engine.infer.link import Link
from engine.infer.request import MAX_QUEUE_MS, Place, Served, check, prepare
from engine.infer.slots import Slot
from engine.infer.turns import Turns
from engine.messages import Lane, ModelRef
from engine.novelty import Range

LATE_FACTOR = 10  # an unanswered request is left running for this many times `timeout_s`


class TritonModel:
    """A served segmentation model. For one event loop; at most `slots` requests in flight.

    Images go out and masks come back through system shared memory where the server takes it (it
    must run on this host), else as gRPC tensors. A call waits at most `timeout_s` for each of the
    connection, a slot and the answer. After `ModelUnavailable` the next call connects again, and
    learns then which model answers. With `turns`, all such clients of this host together have no
    more bulk batches with the server than it has instances: a STAT batch waits for one of these.
    With `mends`, a model whose process has died is loaded again, in all its versions.
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
        turns: bool = True,
        mends: bool = True,
    ) -> None:
        self._name = name
        self._pinned = version
        self._max_batch = max_batch
        self._timeout_s = timeout_s
        self._in_flight = asyncio.Semaphore(slots)
        self._pinning = asyncio.Lock()
        self._served: Served | None = None
        self._batch_s: Mapping[int, float] = {}
        self._ref = ModelRef(name=name, version=version, digest=UNKNOWN, precision=UNKNOWN)
        self._turns = Turns(f"{address} {name}") if turns else None
        self._link = Link(
            address,
            name,
            self._greet,
            max_batch=max_batch,
            slots=slots,
            timeout_s=timeout_s,
            shared_memory=shared_memory,
            mends=mends,
        )

    @property
    def ref(self) -> ModelRef:
        """Name, version, digest and precision of what answered last."""
        return self._ref

    @property
    def pinned(self) -> str:
        """The version that is asked for; "" is Triton's default, the highest that is loaded."""
        return self._pinned

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the label map's values, from 1; known after `start`."""
        return self._now.contract.labels

    @property
    def input_shape(self) -> tuple[int, int]:
        """(rows, columns) of an image; known after `start`."""
        return self._now.contract.input_shape

    @property
    def trained_range(self) -> Range | None:
        """What its training pictures looked like, where it says; known after `start`."""
        return self._now.contract.trained_range

    @property
    def instances(self) -> int:
        """How many batches the server computes side by side; 1 before `start`."""
        return self._served.contract.instances if self._served else 1

    @property
    def batch_s(self) -> Mapping[int, float]:
        """Seconds that blank batches of some sizes took, by the last `measure` or `pin`."""
        return self._batch_s

    @property
    def uses_shared_memory(self) -> bool:
        """True while images and masks go through shared memory."""
        return self._link.ring is not None and self._link.ring.sharing

    @property
    def state(self) -> State:
        """Of the circuit breaker: closed while the server answers, open, half-open while tried."""
        return self._link.state

    async def start(self) -> None:
        """Connect and learn what is served.

        Raises `ModelUnavailable`: no server, no such model, or one that does not keep the contract
        nor one that takes batches of `max_batch`.
        """
        await self._link.ensure()

    async def measure(self) -> Mapping[int, float]:
        """Return how many seconds blank batches of some sizes take, the way that frames go.

        The first batch of a size, which allocates, is not timed. Raises as `infer` does.
        """
        await self._link.ensure()
        blank = np.zeros(self.input_shape, np.uint8)
        self._batch_s = await trial.timed(
            lambda size: trial.seconds(self.infer([blank] * size)), max_batch=self._max_batch
        )
        return self._batch_s

    async def pin(self, version: str) -> None:
        """Let the batches that begin from now on go to `version`; "" is Triton's default.

        Learns its contract, and has it compute blank batches beforehand, so that no frame waits
        for its first allocations. Batches in flight end on the version they began with. Raises
        `ModelUnavailable` and keeps the old pin where the version is not served, does not keep the
        contract, or takes pictures of another size.
        """
        async with self._pinning:
            await self._reach(version)
            shape = self.input_shape
            try:
                served, ref = await self._learn(version)
                if served.contract.input_shape != shape:
                    raise ModelUnavailable(f"it takes {served.contract.input_shape}, not {shape}")
                taken_s = await trial.warm(
                    self._link.client,
                    served,
                    max_batch=self._max_batch,
                    timeout_s=self._timeout_s,
                    turn=lambda: self._turn("bulk"),
                )
            except (TimeoutError, InferenceServerException, ModelUnavailable) as error:
                why = str(error) or f"no answer within {self._timeout_s} s"
                raise self._refused(version, why) from error
            self._pinned, self._served, self._ref, self._batch_s = version, served, ref, taken_s

    async def infer(
        self,
        images: Sequence[np.ndarray],
        *,
        budget_ms: float | None = None,
        priority: Lane = "bulk",
    ) -> list[answers.Segmentation]:
        """Segment at most `max_batch` images, uint8 (rows, columns); answers in their order.

        `budget_ms` bounds the time in Triton's queue where the model's queue policy allows that;
        images that waited longer are `late`, and asked for again without a bound, before other
        bulk. STAT goes before all that waits. Raises `ModelUnavailable` without an answer in time,
        `FrameError` where the images are refused.
        """
        if not images:
            return []
        until_s = time.monotonic() + (budget_ms or MAX_QUEUE_MS) / 1000
        place = Place(lane=priority, budget_ms=budget_ms)
        for _ in range(2):  # a server that has restarted has lost its registrations
            await self._link.ensure()
            check(images, self._max_batch, self.input_shape)
            await self._acquire()
            session = self._link.session
            try:
                return await self._infer(images, place, session, until_s)
            except answers.RegionLost:
                self._link.lose(session)
            except answers.QueueExpired:  # the model's own limit may be shorter than the budget
                place = Place(lane=priority, again=True)
            finally:
                self._in_flight.release()
        raise ModelUnavailable("Triton twice lost the shared memory or let a request wait too long")

    async def close(self) -> None:
        """Unregister and unlink the shared memory, and close the connection."""
        await self._link.close()

    @property
    def _now(self) -> Served:
        if self._served is None:
            raise ModelUnavailable(f"Triton's model {self._name} has not answered yet")
        return self._served

    async def _greet(self) -> tuple[int, int]:
        """Learn again everything that a restart may change; return the shape of an image."""
        served, ref = await self._learn(pinned := self._pinned)
        if pinned == self._pinned:  # else another was pinned meanwhile, and learnt later than this
            self._served, self._ref = served, ref
        return served.contract.input_shape

    async def _learn(self, version: str) -> tuple[Served, ModelRef]:
        return await trial.learn(
            self._link.client,
            self._name,
            version,
            max_batch=self._max_batch,
            timeout_s=self._timeout_s,
        )

    async def _reach(self, version: str) -> None:
        """Connect; where that fails, ask for `version` at once: the pinned one may be gone."""
        try:
            await self._link.ensure()
        except ModelUnavailable:
            before, self._pinned = self._pinned, version
            try:
                await self._link.ensure()
            except ModelUnavailable:
                self._pinned = before
                raise

    def _refused(self, version: str, why: str) -> ModelUnavailable:
        asked, kept = version or "(Triton's default)", self._pinned or "Triton's default"
        return ModelUnavailable(
            f"model {self._name} version {asked} is not pinned, {kept} stays: {why}"
        )

    async def _acquire(self) -> None:
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._in_flight.acquire()
        except TimeoutError:
            raise ModelUnavailable(f"no slot came free within {self._timeout_s} s") from None

    async def _infer(
        self, images: Sequence[np.ndarray], place: Place, session: int, until_s: float
    ) -> list[answers.Segmentation]:
        """Carry one batch to the server and back. The slot is free once the masks are copied."""
        ring, served = self._link.ring, self._now
        if ring is None:
            raise ModelUnavailable("the client is closed")
        slot: Slot | None = None
        call: asyncio.Task[Any] | None = None
        try:
            slot = await ring.take()
            request = prepare(served, images, slot, place)
            async with self._turn(place.lane):
                if self.state != "closed":  # the batch before has found that out
                    raise ModelUnavailable("Triton was lost while the batch waited for its turn")
                late = time.monotonic() >= until_s
                limit_s = self._timeout_s * LATE_FACTOR
                call = asyncio.create_task(request.send(self._link.client, limit_s))
                async with asyncio.timeout(self._timeout_s):
                    result = await asyncio.shield(call)
        except InferenceServerException as error:
            ring.give_back(slot, settled=answers.is_settled(error))
            raise self._translated(error, session) from error
        except (TimeoutError, asyncio.CancelledError) as error:
            ring.give_back(slot, settled=True) if call is None else ring.await_late(call, slot)
            if isinstance(error, asyncio.CancelledError):
                raise
            self._link.lose(session)
            raise ModelUnavailable(f"Triton does not answer within {self._timeout_s} s") from None
        except Exception:  # a request that could not be built was never sent
            ring.give_back(slot, settled=True)
            raise
        try:
            segmented = answers.read(result, len(images), slot, served)
        finally:
            ring.give_back(slot, settled=True)
        if served is self._served:
            self._ref = segmented[0].model
        return [replace(one, late=True) for one in segmented] if late else segmented

    def _turn(self, lane: Lane) -> AbstractAsyncContextManager[None]:
        if self._turns is None or lane == "stat":
            return nullcontext()
        return self._turns.turn(self.instances)

    def _translated(self, error: InferenceServerException, session: int) -> Exception:
        meaning = answers.translated(error, self._name)
        if isinstance(meaning, ModelUnavailable):
            self._link.lose(session)
        return meaning
