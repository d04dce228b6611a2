"""The slots of one connection: registered with the server, taken, given back, set aside."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from tritonclient.utils import InferenceServerException
from tritonclient.utils.shared_memory import SharedMemoryException

from engine.infer import answers
from engine.infer.slots import Slot, Slots, sweep

log = logging.getLogger(__name__)


class Ring:
    """Hands out slots that the server knows, or None where tensors must go over gRPC.

    `wanted` false never shares memory. `client` is tritonclient's `InferenceServerClient` (aio).
    """

    def __init__(self, client: Any, *, count: int, timeout_s: float, wanted: bool) -> None:
        self._client = client
        self._count = count
        self._timeout_s = timeout_s
        self._wanted = wanted
        self._session = 0
        self._slots: Slots | None = None
        self._late: set[asyncio.Task[Any]] = set()
        self.sharing = False

    @property
    def aside(self) -> int:
        """How many slots the server may still write to."""
        return self._slots.aside if self._slots else 0

    async def renew(self, session: int, max_batch: int, shape: tuple[int, int]) -> None:
        """Begin a connection: slots are registered again as they are taken."""
        self._session = session
        if not self._wanted:
            return
        if self._slots is None:
            sweep()
            self._slots = Slots(self._count, max_batch, shape)
        status = await self._client.get_system_shared_memory_status()
        self._slots.forget(status.regions)
        self.sharing = True

    async def take(self) -> Slot | None:
        """Return a slot that the server knows; None: do without. The transport's errors rise."""
        if self._slots is None or not self.sharing:
            return None
        try:
            slot = self._slots.take()
        except (OSError, SharedMemoryException) as error:
            self._stop_sharing(f"no room in /dev/shm: {error}")
            return None
        if slot is None or slot.session == self._session:
            return slot
        session = self._session
        try:
            await self._register(slot)
        except BaseException as error:
            self._slots.release(slot)
            if not isinstance(error, InferenceServerException) or answers.is_away(error):
                raise
            self._stop_sharing(f"the server refuses it: {error.message()}")
            return None
        slot.session = session
        return slot

    def give_back(self, slot: Slot | None, *, settled: bool) -> None:
        """Take a slot back; set it aside unless `settled`: the server may still write to it."""
        if slot is not None and self._slots is not None:
            (self._slots.release if settled else self._slots.set_aside)(slot)

    def await_late(self, call: asyncio.Task[Any], slot: Slot | None) -> None:
        """Set the slot aside until its answer comes, which nobody waits for any more."""
        self.give_back(slot, settled=False)
        self._late.add(call)

        def settle(call: asyncio.Task[Any]) -> None:
            self._late.discard(call)
            error = asyncio.CancelledError() if call.cancelled() else call.exception()
            if isinstance(error, InferenceServerException) and answers.is_settled(error):
                error = None
            if error is None and slot is not None and self._slots is not None:
                self._slots.settle(slot)

        call.add_done_callback(settle)

    async def close(self) -> None:
        """Stop waiting for late answers, unregister what the server is done with, unlink all."""
        for call in (late := tuple(self._late)):
            call.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        if self._slots is None:
            return
        for slot in self._slots.free:
            try:
                await self._client.unregister_system_shared_memory(slot.name, client_timeout=1.0)
            except InferenceServerException:
                break  # the server is away, and its registrations with it
        self._slots.close()
        self._slots, self.sharing = None, False

    async def _register(self, slot: Slot) -> None:
        try:
            await self._client.register_system_shared_memory(
                slot.name, slot.key, slot.size, client_timeout=self._timeout_s
            )
        except InferenceServerException as error:
            if error.status() != answers.ALREADY_EXISTS:
                raise

    def _stop_sharing(self, why: str) -> None:
        log.warning("no shared memory with Triton, tensors go over gRPC: %s", why)
        self.sharing = False
