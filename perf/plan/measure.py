"""Measures what a plan starts from, on this machine: `python -m perf plan --measure`.

Every stage alone (`perf/load/stages.py`), the network's batches through Triton, and a pinned stack
with one worker under two loads: a few single frames a second, and a backlog. No figure is taken at
the rates that `--check` compares.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from engine.config import Settings
from engine.infer import TritonModel
from engine.infer.trial import tried_sizes
from engine.messages import FrameMessage
from perf.baselines.in_process import served_file
from perf.compare.machine import commit, machine
from perf.load.frames import cine, mixed
from perf.load.generator import Outcome
from perf.load.orders import Backlog, Constant
from perf.load.processor import processor_seconds
from perf.load.stacks import broker_only, chosen_broker
from perf.load.stages import measuring
from perf.plan.costs import MIB, SCHEMA, Costs, Point, Size
from perf.plan.pinned import MODEL, Pinned, pinned

Progress = Callable[[str], None]
COMMAND = "python -m perf plan --measure"
STAGE_S, ROUNDS = 6.0, 3
BATCH_S = 3.0
LIGHT_HZ, LIGHT_S = 8.0, 75.0  # at this rate a frame is answered before the next one comes
IDLE_S = 15.0
QUANTILES = 201
FULL = Backlog(outstanding=128, seconds=20.0, warm_s=3.0, budget_ms=60_000, drain_s=60.0, keep=True)
WARM = FULL._replace(seconds=30.0, keep=False)  # a Java broker is compiled while it runs


def measure(progress: Progress) -> Costs:
    """Return the costs; takes some minutes, and a quiet machine."""
    settings = Settings()
    about = machine()
    small = [one.message for one in cine()]
    large = [one for one in (each.message for each in mixed(2)) if _native(one, small[0])]
    with _on([sorted(os.sched_getaffinity(0))[0]]):
        sizes = [_size(frames, settings, progress) for frames in (small, large)]
    together = _stages(small, settings)
    contention = sum(together.values()) / sum(sizes[0].stages_ms.values())
    progress(f"contention {contention:.3f}")
    broker = chosen_broker("kafka")
    with pinned(1, small, settings, broker) as stack:
        progress("the pinned stack is up")
        with _on(stack.cores[1]):
            batch_ms, curve_ms = asyncio.run(_batches(stack, settings))
        progress(f"Triton, processor ms a batch: {batch_ms}")
        stack.run(WARM)
        full, outcome = _point(stack, FULL, progress)
        idle = _idle(stack)
        progress(f"idle, processor ms a second: {idle}")
        light_order = Constant(LIGHT_HZ, LIGHT_S, budget_ms=1_000.0, drain_s=30.0)
        light, alone = _point(stack, light_order, progress)
    return Costs(
        schema=SCHEMA,
        machine=about,
        commit=commit(),
        command=COMMAND,
        broker=broker.__name__,
        model=f"{MODEL}, {served_file()[1]}, one thread",
        max_batch=settings.max_batch,
        max_wait_ms=settings.max_wait_ms,
        inflight_frames=settings.inflight_frames,
        small=sizes[0],
        large=sizes[1],
        contention=max(1.0, contention),
        batch_ms=batch_ms,
        curve_ms=curve_ms,
        idle=idle,
        light=light,
        full=full,
        spread=_spread(alone),
        result_bytes=round(statistics.mean(map(len, outcome.kept.values()))),
        hash_ms_per_mib=_hash_ms(),
    )


def _native(frame: FrameMessage, like: FrameMessage) -> bool:
    return frame.info.transfer_syntax_uid == like.info.transfer_syntax_uid


@contextmanager
def _on(cores: Sequence[int]) -> Iterator[None]:
    """Keep this process, and what it starts meanwhile, on these cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _size(frames: Sequence[FrameMessage], settings: Settings, progress: Progress) -> Size:
    info = frames[0].info
    stages = _stages(frames, settings)
    progress(f"{info.rows} x {info.columns}, each stage alone: {stages}")
    return Size(
        pixels=info.rows * info.columns,
        frame_bytes=round(statistics.mean(map(_wire_bytes, frames))),
        stages_ms=stages,
    )


def _stages(frames: Sequence[FrameMessage], settings: Settings) -> dict[str, float]:
    """Return the medians over some rounds, in ms."""
    with (
        broker_only(settings) as address,
        measuring(frames, address, served_file()) as measured,
    ):
        found = [measured(STAGE_S) for _ in range(ROUNDS)]
    return {
        name: round(1e3 * statistics.median(one[name] for one in found), 4) for name in found[0]
    }


def _wire_bytes(frame: FrameMessage) -> int:
    key, value, headers = frame.to_kafka()
    return len(key) + len(value) + sum(len(name) + len(text) for name, text in headers)


async def _batches(stack: Pinned, settings: Settings) -> tuple[dict[int, float], dict[int, float]]:
    """Return, by batch size, Triton's processor ms and the ms that the client waits."""
    model = TritonModel(
        stack.tritons[0].address,
        MODEL,
        max_batch=settings.max_batch,
        slots=1,
        timeout_s=settings.infer_timeout_s,
    )
    try:
        await model.start()
        curve = await model.measure()
        blank = np.zeros(model.input_shape, np.uint8)
        spent = {}
        for size in tried_sizes(settings.max_batch):
            spent[size] = round(await _batch_ms(stack, model, [blank] * size), 3)
        return spent, {size: round(1e3 * seconds, 3) for size, seconds in curve.items()}
    finally:
        await model.close()


async def _batch_ms(stack: Pinned, model: TritonModel, images: list[np.ndarray]) -> float:
    pids, count = stack.groups["triton"], 0
    before_s, stop_s = processor_seconds(pids), time.monotonic() + BATCH_S
    while time.monotonic() < stop_s:
        await model.infer(images)
        count += 1
    return 1e3 * (processor_seconds(pids) - before_s) / count


def _idle(stack: Pinned) -> dict[str, float]:
    """Return the processor ms a second of each process while nothing comes."""
    before_s = stack.spent()
    time.sleep(IDLE_S)
    return {
        name: round(1e3 * (s - before_s[name]) / IDLE_S, 3) for name, s in stack.spent().items()
    }


def _point(stack: Pinned, order: Constant | Backlog, progress: Progress) -> tuple[Point, Outcome]:
    """Return what each process spent a frame under this load."""
    spent_s, (frames, batches) = stack.spent(), stack.batches()
    outcome = stack.run(order)
    now_s, (frames_now, batches_now) = stack.spent(), stack.batches()
    each = {name: 1e3 * (now_s[name] - spent_s[name]) / outcome.answered for name in now_s}
    point = Point(
        rate_hz=outcome.rate_hz,
        frames_per_batch=(frames_now - frames) / (batches_now - batches),
        worker_ms=each["worker"],
        triton_ms=each["triton"],
        broker_ms=each["broker"],
        generator_ms=1e3 * outcome.cpu_s / outcome.answered,
        p50_ms=None if isinstance(order, Backlog) else outcome.latency_ms.p50,
        mean_ms=None if isinstance(order, Backlog) else statistics.mean(_times(outcome)),
    )
    progress(f"{point}")
    return point, outcome


def _times(outcome: Outcome) -> list[float]:
    return [one.latency_ms for one in outcome.trips if one.latency_ms is not None]


def _spread(outcome: Outcome) -> list[float]:
    times = np.array(_times(outcome))
    quantiles = np.quantile(times, np.linspace(0, 1, QUANTILES))
    return [round(float(one), 3) for one in quantiles / times.mean()]


def _hash_ms() -> float:
    data = os.urandom(16 * MIB)
    start_s = time.process_time()
    hashlib.sha256(data).digest()
    return round(1e3 * (time.process_time() - start_s) / 16, 4)
