"""The connection of one model to its Triton: made once for all callers, lost, made again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from tritonclient.grpc.aio import InferenceServerClient
from tritonclient.utils import InferenceServerException

from engine.errors import ModelUnavailable
from engine.infer import answers
from engine.infer.breaker import Breaker, State
from engine.infer.repair import is_open, reload
from engine.infer.ring import Ring

_CHANNEL = [
    ("grpc.enable_http_proxy", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    # How long one attempt may take: on a busy machine a handshake takes more than 100 ms.
    ("grpc.min_reconnect_backoff_ms", 2_000),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # Triton takes more than two pings without data in five minutes for an attack.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.keepalive_permit_without_calls", 0),
    ("grpc.http2.max_pings_without_data", 2),
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
]


class Link:
    """Connects to `address` when a caller needs it; `session` counts the connections.

    `greet` asks the server, over `client`, all that a restart may have changed, and returns the
    shape of an image; slots have room for `max_batch` of these. With `mends`, a model whose process
    has died is loaded again, which ends all its versions for a moment.
    """

    def __init__(
        self,
        address: str,
        name: str,
        greet: Callable[[], Awaitable[tuple[int, int]]],
        *,
        max_batch: int,
        slots: int,
        timeout_s: float,
        shared_memory: bool,
        mends: bool,
    ) -> None:
        self._address = address
        self._name = name
        self._greet = greet
        self._max_batch = max_batch
        self._slots = slots
        self._timeout_s = timeout_s
        self._shared_memory = shared_memory
        self._mends = mends
        self._attempt: asyncio.Task[None] | None = None
        self._breaker = Breaker()
        self.client: Any = None
        self.ring: Ring | None = None
        self.session = 0

    @property
    def state(self) -> State:
        """Closed while the server answers, else open, and half-open while it is tried."""
        return self._breaker.state

    async def ensure(self) -> None:
        """Connect if there is no connection; callers side by side share one attempt.

        Raises `ModelUnavailable`.
        """
        if self._breaker.state == "closed" and not is_open(self.client):
            self._breaker.lost()
        if self._breaker.state == "closed":
            return
        if self._attempt is None or self._attempt.done():
            self._attempt = asyncio.create_task(self._connect())
            self._attempt.add_done_callback(_retrieve)
        await asyncio.shield(self._attempt)

    def lose(self, session: int) -> None:
        """Connect again before the next call, unless that has happened already."""
        if session == self.session:
            self._breaker.lost()

    async def close(self) -> None:
        """Unregister and unlink the shared memory, and close the connection."""
        if self._attempt:
            self._attempt.cancel()
            await asyncio.gather(self._attempt, return_exceptions=True)
        if self.ring:
            await self.ring.close()
        if self.client:
            await self.client.close()
        self.client = self.ring = None
        self._breaker = Breaker()

    async def _connect(self) -> None:
        await asyncio.sleep(self._breaker.wait_s(time.monotonic()))
        self._breaker.probe()
        try:
            await self._shake_hands()
        except BaseException:
            self._breaker.failed(time.monotonic())
            raise
        self._breaker.worked()

    async def _shake_hands(self) -> None:
        try:
            async with asyncio.timeout(self._timeout_s):
                ring = self._begin()
                shape = await self._greet()
                self.session += 1
                await ring.renew(self.session, self._max_batch, shape)
        except TimeoutError:
            raise ModelUnavailable(f"Triton does not answer within {self._timeout_s} s") from None
        except InferenceServerException as error:
            if self._mends and answers.is_process_dead(error):
                await reload(self.client, self._name, timeout_s=self._timeout_s)
            raise answers.unavailable(error, self._name) from error

    def _begin(self) -> Ring:
        if self.ring is None:
            self.client = InferenceServerClient(self._address, channel_args=_CHANNEL)
            self.ring = Ring(
                self.client,
                count=self._slots,
                timeout_s=self._timeout_s,
                wanted=self._shared_memory,
            )
        return self.ring


def _retrieve(task: asyncio.Task[None]) -> None:
    """Look at the outcome, lest asyncio report it where every caller has gone."""
    if not task.cancelled():
        task.exception()
