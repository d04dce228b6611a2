"""The Triton target: pictures to the model alone, through the engine's own client."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Coroutine, Sequence
from typing import Any

import numpy as np

from engine.config import Settings
from engine.errors import EngineError
from engine.infer import TritonModel
from engine.messages import FrameMessage, Lane
from perf.load.frames import place_of
from perf.load.target import Answer, Answered, TargetFailed

Picture = np.ndarray[Any, np.dtype[np.uint8]]
START_S, CLOSE_S = 60.0, 60.0


class Triton:
    """A client that keeps every slot busy: each takes what waits, at most `max_batch` pictures.

    `pictures` are uint8, (rows, columns) as the model takes them, one for each sample in turn; a
    blank one where there are none. What a frame itself holds is not sent. An answer is that the
    mask has come.
    """

    def __init__(
        self,
        address: str,
        model: str,
        pictures: Sequence[Picture] = (),
        *,
        settings: Settings | None = None,
    ) -> None:
        self._address, self._name, self._pictures = address, model, list(pictures)
        self._settings = settings or Settings()
        self._failure: Exception | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def start(self, answered: Answered) -> None:
        """Connect, and have the model compute a picture, so that it is warm."""
        self._answered = answered
        self._thread.start()
        try:
            self._run(self._begin(), START_S)
        except BaseException as error:
            self._end()
            if isinstance(error, EngineError | TimeoutError):
                raise TargetFailed(f"{self._name} at {self._address}: {error}") from error
            raise

    def send(self, frame: FrameMessage) -> None:
        """Queue one picture; raise `TargetFailed` once one had no answer."""
        self._check()
        self._loop.call_soon_threadsafe(self._waiting.put_nowait, frame)

    def close(self) -> None:
        """Wait for the pictures under way, and disconnect."""
        try:
            self._run(self._finish(), CLOSE_S)
        except TimeoutError as error:
            self._failure = self._failure or error
        finally:
            self._end()
        self._check()

    def _run(self, work: Coroutine[Any, Any, None], limit_s: float) -> None:
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            future.result(limit_s)
        except TimeoutError:
            future.cancel()
            raise TimeoutError(f"no answer within {limit_s:.0f} s") from None

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _check(self) -> None:
        if self._failure is not None:
            raise TargetFailed(f"no mask of {self._name}: {self._failure}") from self._failure

    async def _begin(self) -> None:
        given = self._settings
        self._model = TritonModel(
            self._address,
            self._name,
            max_batch=given.max_batch,
            slots=given.infer_slots,
            timeout_s=given.infer_timeout_s,
        )
        try:
            await self._model.start()
            self._pictures = self._pictures or [np.zeros(self._model.input_shape, np.uint8)]
            await self._model.infer(self._pictures[:1])
        except BaseException:
            await self._model.close()
            raise
        self._waiting: asyncio.Queue[FrameMessage] = asyncio.Queue()
        self._workers = [asyncio.create_task(self._work()) for _ in range(given.infer_slots)]

    async def _finish(self) -> None:
        try:
            await self._waiting.join()
        finally:
            for worker in self._workers:
                worker.cancel()
            await asyncio.gather(*self._workers, return_exceptions=True)
            await self._model.close()

    async def _work(self) -> None:
        while True:
            batch = [await self._waiting.get()]
            while len(batch) < self._settings.max_batch and not self._waiting.empty():
                batch.append(self._waiting.get_nowait())
            try:
                await self._infer(batch)
            except EngineError as error:  # told by whoever sends or closes next
                self._failure = self._failure or error
            finally:
                for _ in batch:
                    self._waiting.task_done()

    async def _infer(self, batch: list[FrameMessage]) -> None:
        lane: Lane = "stat" if any(frame.lane == "stat" for frame in batch) else "bulk"
        places = [place_of(frame) % len(self._pictures) for frame in batch]
        found = await self._model.infer([self._pictures[one] for one in places], priority=lane)
        at_s = time.monotonic()
        for frame, one in zip(batch, found, strict=True):
            record = one.mask.tobytes()
            self._answered(Answer(frame.id, at_s, "ok", record))
