"""The frames that wait, through DALI in batches: from asyncio to one thread and back."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from importlib import import_module
from typing import TypeVar

import numpy as np

from engine.decode import decode
from engine.enhance import enhance
from engine.messages import FrameMessage
from engine.metrics import StageTimes
from engine.preprocess.direct import Array, Direct
from engine.preprocess.graph import Device, Graph, GraphFailed, Sample, Shown
from engine.preprocess.sixteen_bits import declare_sixteen_bits

log = logging.getLogger(__name__)

T = TypeVar("T")
U = TypeVar("U")
AHEAD = 2  # batches: one in DALI's thread, one being decoded


def has_gpu() -> bool:
    """Return whether CuPy is here and finds a device: the kernels need both."""
    try:
        return bool(import_module("cupy").cuda.runtime.getDeviceCount())
    except Exception:  # without a driver CuPy raises errors of its own
        return False


@dataclass(slots=True)
class _Waiting:
    message: FrameMessage
    sample: Sample
    done: asyncio.Future[Shown]


class Dali:
    """Carries frames of one sample through `Graph`; those in colour, a palette's, go `direct`.

    A batch is what waits as DALI becomes free, so a frame never waits for others to come. Frames
    are validated before: on a CPU they come decoded. Where DALI still fails, they go on the host.
    At most `AHEAD` batches of frames are in work; the caller bounds those that wait for that.
    """

    def __init__(
        self,
        direct: Direct,
        pool: Executor,
        *,
        threads: int,
        max_frame_bytes: int,
        max_batch: int,
        device: Device | None = None,
        decodes: bool | None = None,
    ) -> None:
        """Start in the running loop.

        `device` is the GPU where there is one, and DALI `decodes` only there, unless they are
        given: the tests have the CPU's operators do it too.
        """
        device = device or ("gpu" if has_gpu() else "cpu")
        self._direct = direct
        self._pool = pool
        self._max_frame_bytes = max_frame_bytes
        self._max_batch = max_batch
        self._decodes = device == "gpu" if decodes is None else decodes
        self._graph = Graph(threads=threads, max_batch=max_batch, device=device, each=pool.map)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="dali")
        self._room = asyncio.Semaphore(AHEAD * max_batch)
        self._waiting: deque[_Waiting] = deque()
        self._changed = asyncio.Event()
        self._closed = False
        self._loop = asyncio.create_task(self._run(), name="dali")
        log.info("frames go through DALI on the %s", device)

    async def prepare(
        self,
        message: FrameMessage,
        chain: str,
        times: StageTimes,
        observe: Callable[[Array], U] | None = None,
    ) -> tuple[Array, U | None]:
        """Return the picture of `chain`, uint8 (rows, columns), and what `observe` says.

        Stage `enhance` counts from decoded, or validated, to the picture: the wait for DALI too.
        """
        info = message.info
        if info.samples_per_pixel > 1 or info.photometric_interpretation == "PALETTE COLOR":
            return await self._direct.prepare(message, chain, times, observe)

        def work() -> tuple[Sample, U | None]:
            with times.stage("decode"):
                sample = self._encoded(message, chain, observed=observe is not None)
                if sample is not None:
                    return sample, None
                sample = self._decoded(message, chain)
            return sample, observe(sample.data) if observe else None

        async with self._room:
            sample, seen = await self._in(self._pool, work)
            with times.stage("enhance"):
                picture, values = await self._queued(_Waiting(message, sample, _future()))
        if observe is not None and values is not None:
            seen = await self._in(self._pool, observe, values)
        return picture, seen

    async def close(self) -> None:
        """Cancel the frames that wait, let the batch in DALI's thread end, and free its memory."""
        self._closed = True
        self._loop.cancel()
        await asyncio.gather(self._loop, return_exceptions=True)
        for one in self._waiting:
            one.done.cancel()
        await self._in(self._thread, self._graph.close)
        self._thread.shutdown(wait=False)

    def _encoded(self, message: FrameMessage, chain: str, *, observed: bool) -> Sample | None:
        """Return the frame for DALI to decode, its header checked; None where it cannot."""
        if not self._decodes:
            return None
        declared = declare_sixteen_bits(message, max_frame_bytes=self._max_frame_bytes)
        if declared is None:
            return None
        stream, added = declared
        return Sample(np.frombuffer(stream, np.uint8), message.info, chain, added, observed)

    def _decoded(self, message: FrameMessage, chain: str) -> Sample:
        # DALI refuses strides, and reads another byte order as this machine's without a word.
        pixels = np.ascontiguousarray(decode(message, max_frame_bytes=self._max_frame_bytes))
        return Sample(pixels, message.info, chain)

    async def _queued(self, one: _Waiting) -> Shown:
        if self._closed:
            one.done.cancel()
        self._waiting.append(one)
        self._changed.set()
        return await one.done

    async def _run(self) -> None:
        """Give DALI's thread one batch after the other."""
        while True:
            while not (batch := self._taken()):
                self._changed.clear()
                await self._changed.wait()
            await self._answer(batch)

    async def _answer(self, batch: Sequence[_Waiting]) -> None:
        """Answer every frame of the batch, whatever happens to it."""
        try:
            _settle(batch, await self._in(self._thread, self._carried, batch))
        except Exception as error:  # a defect of ours: the callers, who know the frames, say so
            _settle(batch, [error] * len(batch))
        finally:  # cancelled: nobody else answers them
            for one in batch:
                one.done.cancel()

    def _taken(self) -> list[_Waiting]:
        """Take the oldest frame and others of its kind; leave out those whose caller has gone."""
        alive = [one for one in self._waiting if not one.done.done()]
        kind = alive[0].sample.kind if alive else None
        batch = [one for one in alive if one.sample.kind == kind][: self._max_batch]
        taken = set(map(id, batch))
        self._waiting = deque(one for one in alive if id(one) not in taken)
        return batch

    def _carried(self, batch: Sequence[_Waiting]) -> Sequence[Shown | Exception]:
        """Return the outcome of each frame; in DALI's thread."""
        try:
            return self._graph.run([one.sample for one in batch])
        except GraphFailed as error:
            log.warning("DALI failed on %d frames; they go one by one: %s", len(batch), error)
        return list(self._pool.map(self._alone, batch))

    def _alone(self, one: _Waiting) -> Shown | Exception:
        """Return one frame's outcome without DALI, which may be what is broken: as `direct` does.

        A defect of ours is an outcome too: it costs this frame, not its batch.
        """
        sample = one.sample
        try:
            if sample.added is not None:
                sample = self._decoded(one.message, sample.chain)
            picture = enhance(sample.data, sample.info, sample.chain)
        except Exception as error:
            return error
        return Shown(picture, sample.data if one.sample.observed else None)

    async def _in(self, executor: Executor, work: Callable[..., T], *args: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(executor, work, *args)


def _future() -> asyncio.Future[Shown]:
    return asyncio.get_running_loop().create_future()


def _settle(batch: Sequence[_Waiting], outcomes: Sequence[Shown | Exception]) -> None:
    for one, outcome in zip(batch, outcomes, strict=True):
        if one.done.done():
            continue
        if isinstance(outcome, Exception):
            one.done.set_exception(outcome)
        else:
            one.done.set_result(outcome)
