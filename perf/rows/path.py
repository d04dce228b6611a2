"""Row 1: the whole path, broker in to result out, against plain loops; and against its own limit.

Ours is a broker, one worker and Triton at their default settings, kept full by a generator of its
own process: all of it on the same cores. Theirs is one process that holds its objects in memory
already. The two work in turn.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from itertools import cycle
from typing import Any

import msgspec
import numpy as np

from engine.config import Settings
from engine.messages import Mask
from engine.postprocess import decode_mask
from engine.training.evaluate import dice
from perf.baselines.in_process import served, served_file
from perf.baselines.plain_loop import PlainLoop
from perf.baselines.plain_pool import PlainPool, plain_pool
from perf.compare.case import Entry, InTurn, Load
from perf.compare.turns import in_turn
from perf.load import stacks
from perf.load.frames import Sample, cine, mixed
from perf.load.process import Backlog
from perf.load.stages import measuring
from perf.load.target import TargetFailed

Array = np.ndarray[Any, np.dtype[Any]]
POOL = "the plain loop in a process for each core, each on one thread"
PLAIN = "a plain loop on all cores: pydicom, scikit-image, ONNX Runtime fp32, the same weights"
ROUNDS, SECONDS, WARM_S, OUTSTANDING = 6, 6.0, 1.5, 128
BUDGET_MS = 60_000.0
AGREEMENT, LOST = 0.95, 0.01  # scikit-image's CLAHE is another one: the masks differ at the edge
PASSES = 10

_BY_THE_MODEL = (
    "The model, more than half of our processor time, is int8 on AVX2: about twice as fast as fp32 "
    "in ONNX Runtime (rows unet), where VNNI or AMX would be needed for the target. Next lever: "
    "what surrounds it, process by process in this note."
)
_BY_BOTH = (
    "The model's ratio, as in path/plain-loop, and JPEG 2000, a quarter of the frames: both sides "
    "wait for the same decoder, OpenJPEG (row decode/jpeg2000), most of the worker's time here."
)
_BY_WHAT_SURROUNDS = (
    "What the limit leaves out: Faust, aiokafka and asyncio, frame by frame, in one interpreter; "
    "broker and generator on the same cores; and the model, which takes more processor time beside "
    "busy neighbours than alone. Both sums stand in this note."
)


def cases() -> list[Entry]:
    """Return the rows."""
    quick = served_file()[1] == "int8"
    return [
        Load(
            name="path/plain-loop",
            rival=PLAIN + "; cine, 256 x 256",
            unit="frames/s",
            target=8.0 if quick else 5.0,
            measure=lambda progress: _against_loop(cine(), progress),
            bound=_BY_THE_MODEL,
        ),
        Load(
            name="path/plain-pool",
            rival=POOL + "; cine, 256 x 256",
            unit="frames/s",
            target=0.0,
            measure=lambda progress: _against_pool(cine(), progress),
        ),
        Load(
            name="path/plain-loop-mixed",
            rival=PLAIN + "; 512 x 512 in RLE, JPEG lossless, JPEG 2000 and native, in turn",
            unit="frames/s",
            target=6.0,
            measure=lambda progress: _against_loop(mixed(), progress),
            bound=_BY_BOTH,
        ),
        Load(
            name="path/own-limit",
            rival="cores over the sum of the stages' processor seconds, each alone; cine",
            unit="frames/s",
            target=0.85,
            measure=_against_limit,
            bound=_BY_WHAT_SURROUNDS,
        ),
    ]


def _against_loop(samples: Sequence[Sample], progress: Callable[[str], None]) -> InTurn:
    loop = PlainLoop(served() / "model.onnx", threads=len(os.sched_getaffinity(0)))
    messages = [one.message for one in samples]
    broker = stacks.chosen_broker("pip")
    with stacks.ours(messages, Settings(), make_broker=broker) as side:
        progress("the stack is up")
        equal, note = same(side, samples, loop)
        progress(note)
        spent = Spent(side)
        datasets = cycle(one.dataset for one in samples)
        rounds = in_turn(spent.rate, lambda: _loop_rate(loop, datasets, SECONDS), ROUNDS, progress)
    return InTurn(rounds, equal, f"{note}; broker: {broker.__name__}; {spent}")


def _against_pool(samples: Sequence[Sample], progress: Callable[[str], None]) -> InTurn:
    loop = PlainLoop(served() / "model.onnx", threads=len(os.sched_getaffinity(0)))
    datasets = [one.dataset for one in samples]
    cores = len(os.sched_getaffinity(0))
    broker = stacks.chosen_broker("pip")
    with ExitStack() as held:
        messages = [one.message for one in samples]
        side = held.enter_context(stacks.ours(messages, Settings(), make_broker=broker))
        equal, note = same(side, samples, loop)
        made = plain_pool(served() / "model.onnx", datasets, processes=cores)
        pool = held.enter_context(made)
        _pool_rate(pool, WARM_S)
        progress("the stack and the pool are up")
        spent = Spent(side)
        rounds = in_turn(spent.rate, lambda: _pool_rate(pool, SECONDS), ROUNDS, progress)
    return InTurn(rounds, equal, f"{note}; broker: {broker.__name__}; {spent}")


def _against_limit(progress: Callable[[str], None]) -> InTurn:
    messages = [one.message for one in cine()]
    cores = len(os.sched_getaffinity(0))
    found: list[dict[str, float]] = []
    with ExitStack() as held:
        broker = stacks.chosen_broker("pip")
        side = held.enter_context(stacks.ours(messages, Settings(), make_broker=broker))
        bench = held.enter_context(stacks.broker_only(Settings()))
        measured = held.enter_context(measuring(messages, bench, served_file()))
        progress("the stack and the bench are up")
        spent = Spent(side)

        def limit() -> float:
            found.append(measured(SECONDS))
            return cores / sum(found[-1].values())

        rounds = in_turn(spent.rate, limit, ROUNDS, progress)
    alone = {name: float(np.median([one[name] for one in found])) * 1e3 for name in found[0]}
    stages = ", ".join(f"{name} {ms:.2f}" for name, ms in alone.items())
    note = f"processor ms a frame, each stage alone: {stages}; broker: {broker.__name__}; {spent}"
    return InTurn(rounds, True, note)


class Spent:
    """Rounds of one stack under backlog, and the processor time that its processes took."""

    def __init__(self, side: stacks.Side) -> None:
        self._side = side
        self._seconds: dict[str, float] = {}
        self._frames = 0

    def rate(self) -> float:
        """Return frames a second of one round."""
        before = self._side.spent()
        outcome = self._side.run(Backlog(OUTSTANDING, SECONDS, WARM_S, BUDGET_MS))
        for name, seconds in self._side.spent().items():
            self._seconds[name] = self._seconds.get(name, 0.0) + seconds - before[name]
        self._seconds["generator"] = self._seconds.get("generator", 0.0) + outcome.cpu_s
        self._frames += outcome.answered
        return outcome.rate_hz

    def __str__(self) -> str:
        each = ((name, 1e3 * s / max(1, self._frames)) for name, s in self._seconds.items())
        return "ours spent, processor ms a frame: " + ", ".join(f"{n} {ms:.2f}" for n, ms in each)


def _loop_rate(loop: PlainLoop, datasets: Any, seconds: float) -> float:
    start_s, done = time.perf_counter(), 0
    while (spent_s := time.perf_counter() - start_s) < seconds:
        loop(next(datasets))
        done += 1
    return done / spent_s


def _pool_rate(pool: PlainPool, seconds: float) -> float:
    start_s, done = time.perf_counter(), 0
    while time.perf_counter() - start_s < seconds:
        done += pool.next()
    spent_s = time.perf_counter() - start_s
    pool.pause()
    return done / spent_s


def same(side: stacks.Side, samples: Sequence[Sample], loop: PlainLoop) -> tuple[bool, str]:
    """Whether both find the same cavities, and ours the true ones as well as theirs."""
    ours, theirs = masks_of(side, samples), [loop(one.dataset).mask for one in samples]
    agreement = pooled_dice(ours, theirs)
    mine, other = (pooled_dice(found, [one.mask for one in samples]) for found in (ours, theirs))
    note = (
        f"masks agree, pooled Dice {agreement:.4f} on {len(samples)} phantom frames; with the "
        f"truth {mine:.4f} against {other:.4f}"
    )
    return agreement >= AGREEMENT and other - mine <= LOST, note


class _Masks(msgspec.Struct):
    """The part of a result that both sides have."""

    masks: list[Mask] = []


def masks_of(side: stacks.Side, samples: Sequence[Sample]) -> list[Array]:
    """Return the mask that the stack finds on each sample, uint8 (rows, columns)."""
    found: dict[int, bytes] = {}
    for _ in range(PASSES):
        found |= side.run(Backlog(64, 2.0, 0.0, BUDGET_MS, 90.0, keep=True)).kept
        if len(found) == len(samples):
            break
    masks = []
    for place, sample in enumerate(samples):
        if place not in found:
            raise TargetFailed(f"frame {place} was not answered in {PASSES} passes")
        record = msgspec.json.decode(found[place], type=_Masks)
        masks.append(decode_mask(record.masks[0]) if record.masks else np.zeros_like(sample.mask))
    return masks


def pooled_dice(found: Sequence[Array], true: Sequence[Array]) -> float:
    """Return the Dice of all frames' pixels together: a slice without a cavity weighs nothing."""
    return dice(
        np.concatenate([m.ravel() for m in found]), np.concatenate([m.ravel() for m in true])
    )
