"""From message to picture on a CPU: the direct way against DALI's operators, the same frames."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.metadata import version
from statistics import median
from typing import Any

import numpy as np

from engine.messages import FrameMessage
from engine.metrics import StageTimes
from engine.phantom import Phantom
from engine.preprocess import Preprocessor, make
from perf.baselines.decode import NATIVE, message
from perf.compare.case import Entry, Figure

Array = np.ndarray[Any, np.dtype[Any]]
CHAIN, BATCH, ROUNDS = "cine", 8, 40


def cases() -> list[Entry]:
    """Return the rows: frames of the demo's size, and of twice that.

    Processor time, not the clock: DALI takes threads of its own, and each way leaves other cores to
    the rest of a worker.
    """
    return [
        Figure(
            name=f"preprocess/dali-{size}",
            rival=f"`preprocess` = dali: DALI {version('nvidia-dali-cuda120')} on the CPU, native"
            f" {size} x {size} frames in batches of {BATCH}",
            unit="frames/s of processor time",
            target=1.0,
            measure=partial(_measure, size),
        )
        for size in (256, 512)
    ]


def _measure(size: int) -> tuple[float, float, bool, str]:
    """Run both in turn; return the medians."""
    phantom = Phantom(slices=3, phases=BATCH, seed=11, size=size)
    messages = [message(phantom.image(1, phase).astype(np.int16), NATIVE) for phase in range(BATCH)]
    with asyncio.Runner() as runner, ThreadPoolExecutor(2) as pool:
        ways = [runner.run(_made(name, pool)) for name in ("direct", "dali")]
        runs = [partial(_run, runner, way, messages) for way in ways]
        shown = [run() for run in runs]
        same = all(np.array_equal(a, b) for a, b in zip(*shown, strict=True))
        times = [[_timed(run) for run in runs] for _ in range(ROUNDS)]
        for way in ways:
            runner.run(way.close())
    (ours, ours_wall), (theirs, theirs_wall) = (
        [BATCH / median(column) for column in zip(*side, strict=True)]
        for side in zip(*times, strict=True)
    )
    walls = f"by the clock, with 2 threads, {ours_wall:.0f} and {theirs_wall:.0f} frames/s"
    return ours, theirs, same, f"every pixel of every picture the same; {walls}"


async def _made(name: str, pool: ThreadPoolExecutor) -> Preprocessor:
    return make(name, pool, threads=2, max_frame_bytes=2**26, max_batch=BATCH)


def _run(runner: asyncio.Runner, way: Preprocessor, messages: list[FrameMessage]) -> list[Array]:
    async def together() -> list[Array]:
        asked = (way.prepare(one, CHAIN, StageTimes()) for one in messages)
        return [picture for picture, _ in await asyncio.gather(*asked)]

    return runner.run(together())


def _timed(run: Callable[[], object]) -> tuple[float, float]:
    """Return the processor time of all threads, and the time by the clock, in seconds."""
    processor, wall = time.process_time(), time.perf_counter()
    run()
    return time.process_time() - processor, time.perf_counter() - wall
