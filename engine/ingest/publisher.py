"""Publish frame messages to Kafka, and return only when the broker has confirmed every one."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from engine.config import Settings
from engine.errors import BrokerUnavailable
from engine.ingest.frames import HEADER_ROOM
from engine.ingest.loop import ClosableLoop
from engine.messages import TOPIC_OF_LANE, FrameMessage
from engine.security import client_options

log = logging.getLogger(__name__)

WINDOW_BYTES = 32 * 1024 * 1024
STOP_TIMEOUT_S = 5.0


class Publisher:
    """One producer on its own loop and thread; any thread may `publish`.

    It connects in the background and reconnects, so that a gateway can start before its broker.
    After a failed confirmation the producer is replaced, so that nothing given up is sent later
    than it must. It is not an idempotent one: a repeat carries the same frame id and is dropped
    downstream, one batch a partition is under way at a time, so order holds without it, and the
    embedded broker (tansu 0.6, in memory) does not know InitProducerId. `confirmed` is told, in the
    publisher's thread, of the messages that the broker has confirmed.
    """

    def __init__(
        self,
        settings: Settings,
        confirmed: Callable[[Sequence[FrameMessage]], None] = lambda _: None,
    ) -> None:
        self._settings = settings
        self._confirmed = confirmed
        self._client_options = client_options(settings)
        self._producer: AIOKafkaProducer | None = None
        self._broken = asyncio.Event()
        self._closing = False
        self._loop = ClosableLoop()
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)
        self._connected = threading.Event()

    def start(self) -> None:
        """Start connecting; return at once."""
        self._thread.start()

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop of its thread."""
        return self._loop

    async def check(self) -> None:
        """Ask the broker whether it answers, in `loop`; raise `BrokerUnavailable`."""
        producer = self._producer
        if producer is None or not await producer.client.force_metadata_update():
            raise BrokerUnavailable(self._away("does not answer"))

    def wait_connected(self, timeout_s: float) -> bool:
        """Wait until the broker answers; return False when it does not within `timeout_s`."""
        return self._connected.wait(timeout_s)

    def publish(self, messages: Iterable[FrameMessage]) -> int:
        """Publish to the topics of the messages' lanes; return how many were confirmed, all.

        Confirmed means acks=all. Raise `BrokerUnavailable` when a confirmation does not come
        within `confirm_timeout_s`; some messages may then be on the topic all the same.
        """
        count = 0
        for window in _windows(messages):
            future = asyncio.run_coroutine_threadsafe(self._send(window), self._loop)
            try:
                future.result(self._settings.confirm_timeout_s + STOP_TIMEOUT_S)
            except concurrent.futures.TimeoutError:
                future.cancel()
                raise BrokerUnavailable(self._away("does not confirm in time")) from None
            count += len(window)
        return count

    def close(self) -> None:
        """Disconnect, after what is being published; nothing can be published afterwards."""
        if not self._thread.is_alive():
            return
        self._closing = True
        self._loop.call_soon_threadsafe(self._broken.set)
        self._thread.join()

    def _away(self, what: str) -> str:
        return f"broker {self._settings.broker} {what}: check that it runs and has its topics"

    async def _send(self, window: list[FrameMessage]) -> None:
        producer = self._producer
        if producer is None:
            raise BrokerUnavailable(self._away("is not connected"))
        pending: list[asyncio.Future[Any]] = []
        try:
            async with asyncio.timeout(self._settings.confirm_timeout_s):
                for message in window:
                    key, value, headers = message.to_kafka()
                    topic = TOPIC_OF_LANE[message.lane]
                    pending.append(
                        await producer.send(topic, value=value, key=key, headers=headers)
                    )
                # wait, not gather: a cancelled future would confuse the producer's own sender
                await asyncio.wait(pending)
        except (KafkaError, TimeoutError, OSError) as error:
            self._give_up(producer, pending)
            raise BrokerUnavailable(self._away(f"fails ({type(error).__name__})")) from None
        failed = [fault for future in pending if (fault := future.exception()) is not None]
        if failed:
            self._give_up(producer, pending)
            raise BrokerUnavailable(self._away(f"refuses ({type(failed[0]).__name__})"))
        self._confirmed(window)

    def _give_up(self, producer: AIOKafkaProducer, pending: list[asyncio.Future[Any]]) -> None:
        for future in pending:
            future.add_done_callback(lambda done: done.cancelled() or done.exception())
        if self._producer is producer:
            self._producer = None
            self._connected.clear()
            self._broken.set()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._stay_connected())
        finally:
            self._loop.cut_and_close()

    async def _stay_connected(self) -> None:
        delay = 0.1
        while not self._closing:
            producer = self._make()
            try:
                await producer.start()
            except Exception as error:  # the thread must live as long as the gateway
                name = type(error).__name__
                log.warning("broker %s: %s; trying again", self._settings.broker, name)
                await _stop(producer)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._broken.wait(), delay)
                delay = min(2 * delay, self._settings.backoff_max_s)
                continue
            delay = 0.1
            self._producer = producer
            self._connected.set()
            log.info("connected to broker %s", self._settings.broker)
            await self._broken.wait()
            self._broken.clear()
            self._producer = None
            await _stop(producer)

    def _make(self) -> AIOKafkaProducer:
        limit = self._settings.inline_limit + HEADER_ROOM
        return AIOKafkaProducer(
            **self._client_options,
            acks="all",
            max_request_size=limit,
            max_batch_size=limit,
            request_timeout_ms=int(self._settings.confirm_timeout_s * 1000),
        )


async def _stop(producer: AIOKafkaProducer) -> None:
    """Stop a producer, whose flush would otherwise wait for a broker that is gone."""
    with contextlib.suppress(KafkaError, OSError, TimeoutError):
        await asyncio.wait_for(producer.stop(), STOP_TIMEOUT_S)


def _windows(messages: Iterable[FrameMessage]) -> Iterator[list[FrameMessage]]:
    """Group messages into lists of about `WINDOW_BYTES`, so that a long cine is never doubled."""
    window: list[FrameMessage] = []
    size = 0
    for message in messages:
        window.append(message)
        size += len(message.value)
        if size >= WINDOW_BYTES:
            yield window
            window, size = [], 0
    if window:
        yield window
