"""An open-loop stream of frames straight onto the topic, and what came back of it."""

from __future__ import annotations

import asyncio
import io
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count, pairwise

import msgspec
from aiokafka import AIOKafkaProducer

from engine.config import Settings
from engine.ingest.frames import Origin, messages
from engine.ingest.validate import read_file
from engine.messages import FRAMES, RESULTS, FrameMessage, Result
from engine.phantom import Phantom, dicom_objects
from engine.results import Reader
from engine.routes import Routes

SERIES = 8
BUDGET_S = 60
ANSWER_LIMIT_S = 60.0


def templates() -> list[FrameMessage]:
    """Return the frames of a small phantom, as a gateway would publish them."""
    made, keywords = [], Routes.load(None).keywords
    for dataset in dicom_objects(Phantom(seed=31, slices=3, phases=4)):
        file = io.BytesIO()
        dataset.save_as(file, enforce_file_format=True)
        origin = Origin(source="/kafka/test", lane="bulk", accepted_ns=0, deadline_ms=0)
        made += messages(
            read_file(file.getvalue(), keywords=keywords),
            origin,
            store=_NoStore(),
            inline_limit=2**20,
            wire_codec="none",
        )
    return made


class _NoStore:
    def put(self, key: str, data: bytes) -> str:
        raise AssertionError("a frame of 256 x 256 is no claim check")


@dataclass
class Stream:
    """Publishes frames at a steady rate and reads every result; latency is from the due time.

    `due_ns` has every frame sent, by id; `results` what came, in order within a series.
    """

    settings: Settings
    due_ns: dict[str, int] = field(default_factory=dict)
    results: list[Result] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    _numbers: Iterator[int] = field(default_factory=lambda: count(time.time_ns()))

    async def __aenter__(self) -> Stream:
        self._templates = templates()
        self._producer = AIOKafkaProducer(bootstrap_servers=self.settings.broker, acks="all")
        await self._producer.start()
        self._reading = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)
        await self._producer.stop()

    async def send(self, number: int, *, rate_hz: float | None = None) -> None:
        """Send that many frames, at once or at a steady rate; returns when they are confirmed."""
        start_s, confirmed = time.monotonic(), []
        for index in range(number):
            if rate_hz:
                await asyncio.sleep(start_s + index / rate_hz - time.monotonic())
            late_s = time.monotonic() - (start_s + index / rate_hz) if rate_hz else 0.0
            confirmed.append(await self._send_one(time.time_ns() - round(late_s * 1e9)))
        await asyncio.gather(*confirmed)

    @asynccontextmanager
    async def steady(self, rate_hz: float) -> AsyncIterator[None]:
        """Send at a steady rate for as long as the block lasts."""
        done = asyncio.Event()

        async def send_on() -> None:
            while not done.is_set():
                await self.send(max(1, round(rate_hz / 4)), rate_hz=rate_hz)

        sending = asyncio.create_task(send_on())
        try:
            yield
        finally:
            done.set()
            await sending

    async def until_answered(self, limit_s: float = ANSWER_LIMIT_S) -> None:
        """Wait until every frame sent has its result."""
        async with asyncio.timeout(limit_s):
            while len(self.results) < len(self.due_ns):
                await self._another()

    async def until_version(self, version: str, limit_s: float = ANSWER_LIMIT_S) -> None:
        """Wait for a result of this version that is not here yet."""
        seen = len(self.results)
        async with asyncio.timeout(limit_s):
            while all(one.model.version != version for one in self.results[seen:] if one.model):
                await self._another()

    async def until_within(self, latency_s: float, limit_s: float = ANSWER_LIMIT_S) -> None:
        """Wait for a result that comes no later than that after its frame was due."""
        async with asyncio.timeout(limit_s):
            while self._latency_s(self.results[-1]) > latency_s:
                await self._another()

    def by_series(self) -> dict[str, list[Result]]:
        """Return the results of each series, in the order in which they were published."""
        found = defaultdict(list)
        for one in self.results:
            found[one.frame.series_instance_uid].append(one)
        return found

    def longest_gap_s(self) -> float:
        """Return the longest time in which nothing was published."""
        at_ns = sorted(one.published_ns for one in self.results)
        return max(after - before for before, after in pairwise(at_ns)) / 1e9

    def latencies_ms(self) -> list[float]:
        """Return, sorted, the time from when each frame was due to its publishing."""
        return sorted(1e3 * self._latency_s(one) for one in self.results)

    def _latency_s(self, result: Result) -> float:
        return (result.published_ns - self.due_ns[result.frame.id]) / 1e9

    def forget(self) -> None:
        """Begin a new count."""
        self.results.clear()
        self.due_ns.clear()

    async def _another(self) -> None:
        """Wait for the next result; what ended the reading is raised here."""
        self.changed.clear()
        waiting = asyncio.create_task(self.changed.wait())
        try:
            await asyncio.wait({waiting, self._reading}, return_when=asyncio.FIRST_COMPLETED)
            if self._reading.done():
                self._reading.result()
        finally:
            waiting.cancel()

    async def _send_one(self, due_ns: int) -> asyncio.Future[object]:
        number = next(self._numbers)
        template = self._templates[number % len(self._templates)]
        info = msgspec.structs.replace(
            template.info,
            sop_instance_uid=f"2.25.{number}",
            series_instance_uid=f"2.25.9{number % SERIES}",
        )
        message = msgspec.structs.replace(
            template,
            info=info,
            accepted_ns=due_ns,
            deadline_ms=due_ns // 1_000_000 + BUDGET_S * 1000,
        )
        self.due_ns[message.id] = due_ns
        key, value, headers = message.to_kafka()
        return await self._producer.send(FRAMES, key=key, value=value, headers=headers)

    async def _read(self) -> None:
        async with Reader(self.settings, RESULTS, Result, follow=True) as results:
            async for one in results:
                if one.frame.id in self.due_ns:
                    self.results.append(one)
                    self.changed.set()
