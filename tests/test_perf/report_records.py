"""Records of runs as reports read them, made without a run."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable

from perf.load.recorder import Histogram, Summary
from perf.run.record import (
    Bucket,
    Event,
    GeneratorCost,
    Point,
    RunRecord,
    Second,
    Stage,
    Verdict,
)

MS = 1_000_000  # nanoseconds
PER_SECOND = 40

Latency = Callable[[random.Random, int], float]  # of a frame in this second, in ms


def smooth(rng: random.Random, second: int) -> float:
    """Return the latency of a frame that owes nothing to the frame before it."""
    return rng.lognormvariate(3.0, 0.4)


def stalled(rng: random.Random, second: int) -> float:
    """Return the same, with one stall of two seconds in the minute: 3 % of the frames."""
    return smooth(rng, second) + (1000 * rng.random() if second in (30, 31) else 0)


def loaded(latency: Latency = smooth, *, seed: int = 1, seconds: int = 60) -> RunRecord:
    """Return the record of a minute at PER_SECOND frames a second."""
    rng = random.Random(seed)
    values = [[round(latency(rng, n) * MS) for _ in range(PER_SECOND)] for n in range(seconds)]
    whole = Histogram(value for second in values for value in second)
    mean = Summary.of(whole).mean
    shares = {"transport": 0.2, "decode": 0.1, "batch": 0.3, "infer": 0.35, "release": 0.05}
    sent = PER_SECOND * seconds
    return RunRecord(
        scenario="server",
        command="python -m perf run server",
        commit="0123456789ab",
        machine={"cpu": "Some CPU", "cores": 2, "packages": {"numpy": "2.4"}, "vector": ["avx2"]},
        broker="kafka",
        started="2026-11-23T12:00:00+00:00",
        seed=seed,
        seconds=float(seconds),
        rate_hz=float(PER_SECOND),
        answered_hz=float(PER_SECOND),
        sent=sent,
        answered=sent,
        lost=0,
        statuses={"ok": sent},
        latency_ms=Summary.of(whole),
        lag_ms=Summary.of(Histogram([MS // 10] * sent)),
        histogram_ms=buckets(value for second in values for value in second),
        points=[_point(20.0, 30.0), _point(60.0, 400.0)],
        stages_ms={
            name: Stage(p50=share * mean, p99=3 * share * mean, mean=share * mean)
            for name, share in shares.items()
        },
        cpu_ms={"worker": 9.0, "triton": 7.5},
        bytes_per_frame=131072.0,
        generator=GeneratorCost(
            cpu_ms=0.8, lag_p99_ms=0.1, was_bottleneck=False, null_cpu_ms=0.3
        ),
        lanes={"bulk": Summary.of(whole)},
        timeline=[_second(n, Histogram(second)) for n, second in enumerate(values)],
        events=[Event(at_s=30.0, what="worker killed")],
        objectives=[
            Verdict(
                name="p99", percentile=99.0, limit_ms=100.0, observed_ms=60.0, met=True,
                burn_rate=0.1,
            )
        ],
        notes=["a note"],
    )  # fmt: skip


def empty() -> RunRecord:
    """Return the record of a run that answered nothing and measured nothing else."""
    return RunRecord(
        scenario="faults", command="", commit="unknown", machine={}, broker="pip", started="",
        seed=1, seconds=0.0, rate_hz=10.0, answered_hz=0.0, sent=5, answered=0, lost=5,
        statuses={}, latency_ms=None, lag_ms=None,
        generator=GeneratorCost(
            cpu_ms=None, lag_p99_ms=None, was_bottleneck=True, null_cpu_ms=None
        ),
    )  # fmt: skip


def buckets(values: Iterable[int]) -> list[Bucket]:
    """Return nanoseconds as buckets a tenth of a millisecond wide."""
    counts: dict[int, int] = {}
    for value in values:
        bound = -(-value * 10 // MS)
        counts[bound] = counts.get(bound, 0) + 1
    return [Bucket(bound / 10, counts[bound]) for bound in sorted(counts)]


def _second(number: int, found: Histogram) -> Second:
    p50, p99 = (found.percentile(p) / MS for p in (50, 99))
    return Second(at_s=float(number), sent=found.count, answered=found.count, p50=p50, p99=p99)


def _point(rate_hz: float, p99: float) -> Point:
    return Point(
        rate_hz=rate_hz, answered_hz=rate_hz, samples=400, p50=p99 / 3, p99=p99, stopped=False,
        held=p99 < 100,
    )  # fmt: skip
