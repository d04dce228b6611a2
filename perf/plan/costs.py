"""What a frame costs, as measured: the file `costs.json`, and the pieces of work made of it.

All times are milliseconds; those of works are processor time. Nothing here is a guess: what was
not measured is None, and `Costs.load` refuses a file that lacks what a plan needs.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

SCHEMA = "scanstream.costs.v2"
FILE = Path(__file__).with_name("costs.json")
MIB = 1 << 20


class CostsUnreadable(ValueError):
    """The file is missing, or is none; the text says what to do."""


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """The stack under one load: processor ms a frame of each process, and its latency.

    `frames_per_batch` is what Triton counted. `p50_ms` and `mean_ms` are None under a backlog,
    where they mean nothing.
    """

    rate_hz: float
    frames_per_batch: float
    worker_ms: float
    triton_ms: float
    broker_ms: float
    generator_ms: float
    p50_ms: float | None
    mean_ms: float | None


class Size(msgspec.Struct, frozen=True, kw_only=True):
    """One size of frames, native: processor ms a frame of each stage alone, on one core.

    `frame_bytes` is value and headers on the topic.
    """

    pixels: int
    frame_bytes: int
    stages_ms: dict[str, float]


class Works(NamedTuple):
    """Seconds of processor time of one frame, by the thread that does them."""

    generator_s: float
    broker_in_s: float
    take_s: float  # the worker's event loop, before the pixels
    prepare_s: float  # a compute thread: claim check, decode, enhance
    finish_s: float  # a compute thread: postprocess
    publish_s: float  # the event loop again
    broker_out_s: float
    batch_s: float  # the event loop, once a batch
    broker_batch_s: float  # once a batch


class Costs(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a plan starts from.

    `idle` is processor ms a second of each process without a frame: heartbeats and polls, which a
    few frames a second are not charged with. `light` is a load of single frames, `full` a backlog:
    what else differs between them is paid once a batch. `batch_ms` is Triton's processor time by
    batch size, on one thread; `curve_ms` is the
    same as the client sees it. `contention` is by how much the stages take longer on all cores at
    once than on one. `spread` is a frame's time under the light load over the mean, at evenly
    spaced quantiles, the least and the largest included: what the operating system, garbage
    collectors and timers add to work that is always the same. `hash_ms_per_mib` is the SHA-256 of
    a claim check.
    """

    schema: str
    machine: dict[str, Any]
    commit: str
    command: str
    broker: str
    model: str
    max_batch: int
    max_wait_ms: float
    inflight_frames: int
    small: Size
    large: Size
    contention: float
    batch_ms: dict[int, float]
    curve_ms: dict[int, float]
    idle: dict[str, float]
    light: Point
    full: Point
    spread: list[float]
    result_bytes: int
    hash_ms_per_mib: float

    @classmethod
    def load(cls, path: Path = FILE) -> Costs:
        """Read a file; raise `CostsUnreadable`."""
        try:
            found = msgspec.json.decode(path.read_bytes(), type=cls)
        except FileNotFoundError:
            raise CostsUnreadable(
                f"{path} does not exist: measure with `python -m perf plan --measure`"
            ) from None
        except (OSError, msgspec.MsgspecError) as error:
            raise CostsUnreadable(f"{path} holds no measured costs: {error}") from None
        if found.schema != SCHEMA:
            raise CostsUnreadable(f"{path} has schema {found.schema}, not {SCHEMA}: measure again")
        if found.light.frames_per_batch >= found.full.frames_per_batch:
            raise CostsUnreadable(f"{path}: the backlog's batches are no larger than the light's")
        return found

    def save(self, path: Path = FILE) -> None:
        """Write the file."""
        path.write_bytes(msgspec.json.format(msgspec.json.encode(self)) + b"\n")

    def split(self, process: str) -> tuple[float, float]:
        """Return the processor ms of a process a frame, and once a batch; of a light and a full
        load the line through both. Under a backlog nothing is idle: polls find records.
        """
        light, full = getattr(self.light, f"{process}_ms"), getattr(self.full, f"{process}_ms")
        light -= self.idle[process] / self.light.rate_hz
        shares = 1 / self.light.frames_per_batch - 1 / self.full.frames_per_batch
        batch = max(0.0, (light - full) / shares)
        return max(0.0, full - batch / self.full.frames_per_batch), batch

    def stage_ms(self, name: str, pixels: float) -> float:
        """Return a stage's time for frames of so many pixels: a line through the two sizes."""
        small, large = self.small.stages_ms[name], self.large.stages_ms[name]
        slope = max(0.0, (large - small) / (self.large.pixels - self.small.pixels))
        return small + slope * (pixels - self.small.pixels)

    def works(self, pixels: int, *, claim_bytes: int = 0) -> Works:
        """Return what a frame of so many pixels costs; `claim_bytes` where it is a claim check."""
        worker_ms, batch_ms = self.split("worker")
        broker_ms, broker_batch_ms = self.split("broker")
        inside = ("decode", "enhance", "postprocess")
        # what the worker does beside the stages: Faust, asyncio, Kafka's client, gRPC
        around_ms = max(0.0, worker_ms - sum(self.small.stages_ms[name] for name in inside))
        prepare_ms = self.stage_ms("decode", pixels) + self.stage_ms("enhance", pixels)
        prepare_ms += self.hash_ms_per_mib * claim_bytes / MIB
        carried = self.small.pixels if claim_bytes else pixels
        grown = self.stage_ms("fetch", carried) / self.small.stages_ms["fetch"]
        return Works(
            generator_s=self.full.generator_ms / 1e3,
            broker_in_s=broker_ms * grown / 2e3,
            take_s=around_ms / 2e3,
            prepare_s=prepare_ms / 1e3,
            finish_s=self.stage_ms("postprocess", pixels) / 1e3,
            publish_s=around_ms / 2e3,
            broker_out_s=broker_ms / 2e3,
            batch_s=batch_ms / 1e3,
            broker_batch_s=broker_batch_ms / 1e3,
        )

    @property
    def wait_s(self) -> float:
        """Seconds that a lone frame waits for no processor: polling, wake-ups, the network."""
        works, alone = self.works(self.small.pixels), self.batch_ms[1] / 1e3
        # what the broker spends once a batch is on no frame's way
        on_the_way = sum(works) - works.broker_batch_s
        return max(0.0, (self.light.mean_ms or 0.0) / 1e3 - on_the_way - alone)


def factors(spread: Sequence[float], seed: int) -> Iterator[float]:
    """Yield by how much each frame takes longer than the mean, drawn from `Costs.spread`."""
    numbers, last = random.Random(seed), len(spread) - 1
    while True:
        below, part = divmod(numbers.random() * last, 1)
        low, high = spread[int(below)], spread[min(last, int(below) + 1)]
        yield low + part * (high - low)
