"""Row 3: the U-Net's frames a second through Triton, against the same file in process.

Both sides run the version and the precision that is served, one after the other, on all cores. Ours
is the engine's own client at its default settings: batches of `max_batch` through shared memory,
`infer_slots` of them under way. Theirs is OpenVINO in this process, tuned: the best of one stream
on all threads and a stream for each core, each at its best batch size.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Coroutine
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import openvino

from engine.config import Settings
from engine.infer import TritonModel
from engine.local.stack import MODELS
from engine.local.triton import Triton
from engine.training.data import Pictures, phantom_pictures
from engine.training.evaluate import dice
from perf.baselines.in_process import BATCHES, MODEL, compiled, in_process, served
from perf.baselines.unet import Bytes
from perf.compare.case import Entry, InTurn, Load
from perf.compare.turns import in_turn
from perf.rows.unet import FILES

_BY_THREADS = (
    "The rival is tuned for throughput, a stream on each core; ours has one stream on all of them, "
    "so that a batch of 8 takes half as long."
)
ROUNDS, SECONDS, TRY_S = 8, 4.0, 0.7
AGREEMENT = 0.999


class Tuned(NamedTuple):
    """How OpenVINO is fastest here."""

    streams: int
    batch: int


def cases() -> list[Entry]:
    """Return the row."""
    return [
        Load(
            name="serve/in-process",
            rival="the same file in process, OpenVINO at the precision served, tuned",
            unit="frames/s",
            target=0.95,
            measure=_measure,
            bound=_BY_THREADS,
        )
    ]


def _measure(progress: Callable[[str], None]) -> InTurn:
    settings = Settings()
    pictures = phantom_pictures(4, per_heart=4, seed=4)
    with (
        tempfile.TemporaryDirectory(prefix="perf-serve-") as folder,
        Triton(Path(folder), MODELS, settings) as triton,
        asyncio.Runner() as runner,
    ):
        model = TritonModel(
            triton.address,
            MODEL,
            max_batch=settings.max_batch,
            slots=settings.infer_slots,
            timeout_s=settings.infer_timeout_s,
        )
        try:
            runner.run(model.start())
            path = _file_of(model.ref.digest)
            tuned = _tuned(path, model.ref.precision, pictures.images, progress)
            theirs = _Theirs(path, model.ref.precision, tuned, pictures.images)
            equal, note = _same(runner, model, theirs, pictures)
            ours = _ours(model, pictures.images, settings)
            runner.run(ours(SECONDS))  # warm
            rounds = in_turn(
                lambda: runner.run(ours(SECONDS)),
                lambda: theirs.rate(SECONDS),
                ROUNDS,
                progress,
            )
            shared = "shared memory" if model.uses_shared_memory else "gRPC, NO shared memory"
        finally:
            runner.run(model.close())
    return InTurn(
        rounds,
        equal,
        f"{note}; {model.ref.precision}, {shared}, batches of {settings.max_batch}, "
        f"{settings.infer_slots} under way, against {tuned.streams} stream(s) at batch "
        f"{tuned.batch}",
    )


def _file_of(digest: str) -> Path:
    """Return the file whose SHA-256 Triton says that it serves."""
    for name in set(FILES.values()):
        path = served() / name
        if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == digest:
            return path
    raise RuntimeError(f"no file in {served()} has the digest that Triton serves")


def _ours(
    model: TritonModel, images: Bytes, settings: Settings
) -> Callable[[float], Coroutine[None, None, float]]:
    batch = [images[number % len(images)] for number in range(settings.max_batch)]

    async def rate(seconds: float) -> float:
        stop_s, done = time.perf_counter() + seconds, 0

        async def keep_one_under_way() -> None:
            nonlocal done
            while time.perf_counter() < stop_s:
                answers = await model.infer(batch)
                done += len(answers)  # not in one line: it would add to `done` as it was before

        start_s = time.perf_counter()
        await asyncio.gather(*(keep_one_under_way() for _ in range(settings.infer_slots)))
        return done / (time.perf_counter() - start_s)

    return rate


class _Theirs:
    """OpenVINO with a queue of as many requests as streams."""

    def __init__(self, path: Path, precision: str, tuned: Tuned, images: Bytes) -> None:
        cores = len(os.sched_getaffinity(0))
        made = compiled(path, precision, threads=cores, streams=tuned.streams)
        self._queue = openvino.AsyncInferQueue(made, tuned.streams)
        count = -(-tuned.batch // len(images))
        self._batch = np.tile(images, (count, 1, 1))[: tuned.batch, None].copy()
        self._run = in_process(path, precision, threads=cores)

    def rate(self, seconds: float) -> float:
        """Return frames a second over about `seconds`."""
        start_s = time.perf_counter()
        done = 0
        while time.perf_counter() < start_s + seconds:
            self._queue.start_async({"image": self._batch}, share_inputs=True)
            done += len(self._batch)
        self._queue.wait_all()
        return done / (time.perf_counter() - start_s)

    def masks(self, images: Bytes) -> Bytes:
        """Return the masks of the images, one by one."""
        return np.concatenate([self._run(image[None, None])[0].copy() for image in images])


def _tuned(path: Path, precision: str, images: Bytes, progress: Callable[[str], None]) -> Tuned:
    """Return the fastest of every number of streams with every batch size."""
    rates = {}
    for streams, batch in product({1, len(os.sched_getaffinity(0))}, BATCHES):
        tried = Tuned(streams, batch)
        theirs = _Theirs(path, precision, tried, images)
        theirs.rate(0.1)
        rates[tried] = theirs.rate(TRY_S)
        progress(f"in process, {streams} stream(s), batch {batch}: {rates[tried]:.4g} frames/s")
    return max(rates, key=rates.__getitem__)


def _same(
    runner: asyncio.Runner, model: TritonModel, theirs: _Theirs, pictures: Pictures
) -> tuple[bool, str]:
    """Whether both sides find the same masks."""
    answers = [runner.run(model.infer([image]))[0].mask for image in pictures.images]
    found = theirs.masks(pictures.images)
    agreement = float(np.mean([dice(a, b) for a, b in zip(answers, found, strict=True)]))
    note = f"masks agree, Dice {agreement:.4f} on {len(found)} phantom frames"
    return agreement >= AGREEMENT, note
