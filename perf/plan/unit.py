"""What one worker can take: simulated, and how many scanners that is, by bisection.

The unit of a plan is a worker on some cores of its own, with an instance of the model on each.
"""

from __future__ import annotations

import math
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import takewhile
from typing import NamedTuple

import msgspec

from engine.batcher import Curve
from perf.load.frames import SERIES_BASE
from perf.load.recorder import Histogram, nanoseconds
from perf.plan.clock import Clock, Cores
from perf.plan.costs import Costs, Works, factors
from perf.plan.scanners import Due, Kind, share
from perf.plan.worker import Arrival, Broker, Frame, Model, Rules, Worker, feed

UNITS = (1, 2, 4, 8, 16)  # cores of a unit
PARTITIONS = 4  # a unit: room to grow, and releases side by side
SERIES, STEPS = 120, 6  # series in a run: their number is what makes a unit's load vary
FRAMES = 24_000  # in a run at most: a simulated frame takes 0.2 ms
MISSES = 0.01  # of the frames may be late: the objective is a p99
BACK, BACKS = 0.9, 12  # of what one seed held, where another does not hold it; tries

Progress = Callable[[str], None]


class Wanted(NamedTuple):
    """What is asked for. `gpu_hz` is the network's frames a second on one GPU, None without."""

    kinds: Sequence[Kind]
    objective_ms: float
    gpu_hz: float | None = None
    broker_cores: int = 8
    network_gbit: float = 10.0
    inline_limit: int = 1 << 20


class Seen(NamedTuple):
    """What a simulation gave: latencies in ns, and the share of the cores that was busy."""

    latency: Histogram
    busy: float
    per_batch: float

    @property
    def p99_ms(self) -> float:
        """The 99th percentile; infinite without a frame."""
        return self.latency.percentile(99) / 1e6 if self.latency.count else math.inf


class Unit(msgspec.Struct, frozen=True, kw_only=True):
    """The unit that costs the fewest cores a scanner, and how many scanners it can have."""

    cores: int
    scanners: float
    p99_ms: float
    busy: float
    frames_per_batch: float


def unit_for(costs: Costs, wanted: Wanted, progress: Progress) -> Unit | None:
    """Return the best unit, None where none of `UNITS` holds the objective for a single series."""
    best: Unit | None = None
    for cores in UNITS:
        found = _most(costs, wanted, cores)
        progress(f"a unit of {cores} cores: " + (f"{found.scanners:.3g}" if found else "none"))
        if found is None:
            continue
        if best is not None and found.scanners / cores < 1.1 * best.scanners / best.cores:
            break  # larger ones gain less than a tenth
        best = found
    return best


def simulated(
    costs: Costs, wanted: Wanted, cores: int, dues: Iterable[Due], expected: float = math.inf
) -> Seen:
    """Return what one unit makes of these frames.

    All its work takes `contention` times what it takes alone: its cores, and its neighbours on the
    same machine, are taken to be busy. The broker's cores are others.
    """
    clock = Clock()
    shared = Cores(clock, cores)
    works = works_of(costs, wanted)
    broker = Broker(clock, None, costs.wait_s)
    late = _Late(clock, wanted.objective_ms / 1e3, expected)
    worker = Worker(
        clock,
        shared,
        broker,
        model_for(costs, cores, wanted.gpu_hz, slower=costs.contention),
        rules_for(costs, cores),
        budget_s=wanted.objective_ms / 1e3,
        answered=lambda _: None,
    )
    slower = factors(costs.spread, seed=3)
    coming = (
        late.sent(
            arrival(one.due_s, partition_of(one.series, PARTITIONS), works[one.kind], next(slower))
        )
        for one in takewhile(lambda _: late.few, dues)
    )
    frames = feed(clock, coming, lambda _, done: done(), broker, lambda _: worker)
    return Seen(
        latencies(frames),
        shared.busy_s / max(1e-9, cores * clock.now_s),
        worker.frames / max(1, worker.batches),
    )


def model_for(costs: Costs, instances: int, gpu_hz: float | None, *, slower: float = 1.0) -> Model:
    """Return the model on as many cores, an instance on each, or on one accelerator."""
    if gpu_hz is not None:
        even = {1: 1 / gpu_hz, costs.max_batch: costs.max_batch / gpu_hz}
        return Model(Curve(even), even, instances=1, on_cores=False)
    batch = {size: slower * ms / 1e3 for size, ms in costs.batch_ms.items()}
    measured = {size: slower * ms / 1e3 for size, ms in costs.curve_ms.items()}
    return Model(Curve(batch), measured, instances=instances)


def rules_for(costs: Costs, cores: int) -> Rules:
    """Return the settings of a worker on so many cores."""
    return Rules(
        max_batch=costs.max_batch,
        max_wait_s=costs.max_wait_ms / 1e3,
        inflight_frames=costs.inflight_frames,
        compute_threads=max(2, cores),
        infer_slots=cores + 2,
    )


def latencies(frames: Iterable[Frame]) -> Histogram:
    """Return the times from due to answered, in ns."""
    found = Histogram()
    for one in frames:
        if one.answered_s is not None:
            found.add(nanoseconds(one.answered_s - one.arrival.due_s))
    return found


def partition_of(series: int, partitions: int) -> int:
    """Return a series' partition, by the hash that librdkafka takes of a key (CRC-32)."""
    return zlib.crc32(f"2.25.{SERIES_BASE + series}".encode()) % partitions


def works_of(costs: Costs, wanted: Wanted) -> dict[Kind, Works]:
    found = {}
    for kind in wanted.kinds:
        claim = kind.frame_bytes if kind.frame_bytes > wanted.inline_limit else 0
        found[kind] = scaled(costs.works(kind.pixels, claim_bytes=claim), costs.contention)
    return found


def arrival(due_s: float, partition: int, works: Works, slower: float) -> Arrival:
    """Return a frame that takes `slower` times as long as usual."""
    return Arrival(due_s, partition, scaled(works, slower), slower)


def scaled(works: Works, factor: float) -> Works:
    """Return works that take so many times as long."""
    return Works(*(factor * one for one in works))


class _Late:
    """Counts the frames whose objective is over: a run that has missed may end."""

    def __init__(self, clock: Clock, objective_s: float, expected: float) -> None:
        self._clock, self._objective_s, self._expected = clock, objective_s, expected
        self._open: deque[Frame] = deque()
        self._late = 0

    def sent(self, arrival: Arrival) -> Frame:
        """Return the frame that comes."""
        self._open.append(frame := Frame(arrival))
        return frame

    @property
    def few(self) -> bool:
        """False once the objective is missed, whatever the frames do that are expected yet."""
        while self._open and self._open[0].arrival.due_s + self._objective_s < self._clock.now_s:
            frame = self._open.popleft()
            answered_s = math.inf if frame.answered_s is None else frame.answered_s
            self._late += answered_s - frame.arrival.due_s > self._objective_s
        return self._late <= 2 * MISSES * self._expected  # more may come than are expected


def _most(costs: Costs, wanted: Wanted, cores: int) -> Unit | None:
    """Return the unit with the most scanners that holds the objective; bisection."""
    needed = _mean(wanted, lambda kind: kind.mean_hz * _busy_s(costs, wanted, kind))
    high, low = cores / max(1e-9, needed), 0.0
    if not (best := _held(costs, wanted, cores, high / 50, seed=1)):
        return None  # one series alone is too much
    for _ in range(STEPS):
        middle = (low + high) / 2
        if held := _held(costs, wanted, cores, middle, seed=1):
            low, best = middle, held
        else:
            high = middle
    return _confirmed(costs, wanted, best)


def _confirmed(costs: Costs, wanted: Wanted, found: Unit) -> Unit | None:
    """Return the unit as another seed sees it, with fewer scanners where that misses.

    None where even the fewest tried do: then what the first seed held was luck.
    """
    for step in range(BACKS):
        scanners = found.scanners * BACK**step
        if held := _held(costs, wanted, found.cores, scanners, seed=2):
            return held
    return None


def _held(costs: Costs, wanted: Wanted, cores: int, scanners: float, *, seed: int) -> Unit | None:
    """Return the unit with so many scanners, None where it misses the objective."""
    seconds = run_seconds(wanted, scanners)
    expected = seconds * scanners * _mean(wanted, lambda kind: kind.mean_hz)
    dues = share(wanted.kinds, scanners, seconds, seed)
    seen = simulated(costs, wanted, cores, dues, expected)
    if seen.p99_ms > wanted.objective_ms:
        return None
    return Unit(
        cores=cores,
        scanners=scanners,
        p99_ms=seen.p99_ms,
        busy=seen.busy,
        frames_per_batch=seen.per_batch,
    )


def run_seconds(wanted: Wanted, scanners: float) -> float:
    """Return how long a run must be to see `SERIES` series, or as long as `FRAMES` frames take."""
    series_hz = scanners * _mean(wanted, lambda kind: 1 / (kind.series_s + kind.pause_s))
    frames_hz = scanners * _mean(wanted, lambda kind: kind.mean_hz)
    return min(SERIES / series_hz, FRAMES / frames_hz)


def _mean(wanted: Wanted, value: Callable[[Kind], float]) -> float:
    return sum(map(value, wanted.kinds)) / len(wanted.kinds)


def _busy_s(costs: Costs, wanted: Wanted, kind: Kind) -> float:
    """Return the processor seconds of a unit that one frame needs at least."""
    works = works_of(costs, wanted)[kind]
    worker_s = works.take_s + works.prepare_s + works.finish_s + works.publish_s
    infer_s = costs.contention * costs.batch_ms[costs.max_batch] / costs.max_batch / 1e3
    return worker_s + (0.0 if wanted.gpu_hz else infer_s)
