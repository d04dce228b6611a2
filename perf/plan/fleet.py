"""How many workers, partitions, brokers and cores a fleet of scanners needs at an objective.

Of a large fleet each worker gets a share by chance (`unit`). Small fleets are simulated whole,
every scanner and every worker.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import msgspec

from perf.load.recorder import Histogram
from perf.plan.costs import Costs
from perf.plan.scanners import fleet
from perf.plan.unit import (
    PARTITIONS,
    Progress,
    Unit,
    Wanted,
    partition_of,
    run_seconds,
    simulated,
    unit_for,
    works_of,
)

MOST = 2  # times the workers that the mean needs, at most, for a fleet simulated whole
EXACT = 16  # scanners: fleets up to this size are simulated whole
BROKER_SHARE, NETWORK_SHARE = 0.5, 0.5  # of a broker's cores and network that may be used
REPLICATION = 3
CELL = 500  # workers in one consumer group, with brokers of its own


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One fleet. `p99_ms` is simulated, `held` where it is in time.

    `cells` are consumer groups, each with its own brokers.
    """

    scanners: int
    frames_hz: float
    workers: int
    unit_cores: int
    cores: int
    partitions: int
    brokers: int
    broker_cores: int
    cells: int
    gpus: float | None
    network_gbit: float
    p99_ms: float
    held: bool
    whole: bool


def rows_for(
    costs: Costs, wanted: Wanted, scanners: Sequence[int], progress: Progress
) -> Iterator[Row]:
    """Yield a row for each size of the fleet; none where no unit holds the objective."""
    unit = unit_for(costs, wanted, progress)
    for number in scanners if unit else ():
        assert unit is not None
        yield row_for(costs, wanted, unit, number)
        progress(f"{number} scanners: done")


def row_for(costs: Costs, wanted: Wanted, unit: Unit, scanners: int) -> Row:
    """Return what so many scanners need, of this unit."""
    whole = scanners <= EXACT
    if whole:
        workers, p99_ms = _fewest(costs, wanted, unit, scanners)
    else:
        workers, p99_ms = math.ceil(scanners / unit.scanners), unit.p99_ms
    hz, in_bytes_s, broker_s = _flow(costs, wanted, scanners, unit.frames_per_batch)
    replicas = REPLICATION if scanners > 1 else 1
    out_bytes_s = hz * costs.result_bytes
    # in, to each further replica, out to the worker; the results the same way
    wire_bytes_s = (in_bytes_s + out_bytes_s) * (replicas + 1)
    cells = math.ceil(workers / CELL)
    by_cores = broker_s * replicas / (wanted.broker_cores * BROKER_SHARE)
    by_network = 8 * wire_bytes_s / (wanted.network_gbit * 1e9 * NETWORK_SHARE)
    brokers = max(cells * replicas, math.ceil(max(by_cores, by_network)))
    return Row(
        scanners=scanners,
        frames_hz=hz,
        workers=workers,
        unit_cores=unit.cores,
        cores=workers * unit.cores,
        partitions=workers * PARTITIONS,
        brokers=brokers,
        broker_cores=brokers * wanted.broker_cores,
        cells=cells,
        gpus=hz / wanted.gpu_hz if wanted.gpu_hz else None,
        network_gbit=8 * wire_bytes_s / 1e9,
        p99_ms=p99_ms,
        held=p99_ms <= wanted.objective_ms,
        whole=whole,
    )


def _fewest(costs: Costs, wanted: Wanted, unit: Unit, scanners: int) -> tuple[int, float]:
    """Return the fewest units that hold the objective for these very scanners, and their p99.

    Chance may have two series on one worker however many there are: after `MOST` times what their
    mean needs none is tried, and the p99 says that it misses.
    """
    most = MOST * max(scanners, math.ceil(scanners / unit.scanners))
    for workers in range(1, most + 1):
        p99_ms = _whole(costs, wanted, unit.cores, scanners, workers)
        if p99_ms <= wanted.objective_ms or workers == most:
            return workers, p99_ms
    raise AssertionError("a fleet has at least one worker")


def _whole(costs: Costs, wanted: Wanted, cores: int, scanners: int, workers: int) -> float:
    """Return the p99 of a whole fleet in milliseconds, every unit simulated."""
    found = Histogram()
    dues = list(fleet(wanted.kinds, scanners, run_seconds(wanted, scanners), seed=1))
    for worker in range(workers):
        mine = [one for one in dues if _worker_of(one.series, workers) == worker]
        found.merge(simulated(costs, wanted, cores, mine, len(mine)).latency)
    return found.percentile(99) / 1e6 if found.count else math.inf


def _worker_of(series: int, workers: int) -> int:
    return partition_of(series, workers * PARTITIONS) // PARTITIONS


def _flow(
    costs: Costs, wanted: Wanted, scanners: int, frames_per_batch: float
) -> tuple[float, float, float]:
    """Return the fleet's frames/s, its bytes/s into the frames topic, and the broker's cores."""
    hz = in_bytes_s = broker_s = 0.0
    works = works_of(costs, wanted)
    for kind in wanted.kinds:
        kind_hz = scanners / len(wanted.kinds) * kind.mean_hz
        inline = kind.frame_bytes <= wanted.inline_limit
        hz += kind_hz
        in_bytes_s += kind_hz * (kind.frame_bytes if inline else 0)
        of_kind = works[kind]
        broker_s += kind_hz * (of_kind.broker_in_s + of_kind.broker_out_s)
        broker_s += kind_hz * of_kind.broker_batch_s / frames_per_batch
    return hz, in_bytes_s, broker_s
