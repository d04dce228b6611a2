"""From the trips of a run to the parts of its record."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from statistics import fmean

from engine.metrics import STAGES
from perf.load.generator import Outcome
from perf.load.recorder import Histogram, Summary, nanoseconds
from perf.load.trip import Trip
from perf.run.record import Bucket, Second, Stage
from perf.run.slo import observed_ms

PER_OCTAVE = 32  # buckets of a histogram, each 2.2 % wide
SEND = "send"  # from the intended time to accepted by the gateway, where there is one
BETWEEN = "between"  # stages: threads and tasks that wait for their turn
ANSWER = "answer"  # from published to seen by a consumer
DIGITS = 4


def summary(found: Summary) -> Summary | None:
    """Return the summary, None where it is of nothing."""
    return found if found.count else None


def kinds(trips: Sequence[Trip]) -> dict[str, Summary]:
    """Return the latencies of the frames of each kind that was asked for."""
    found: defaultdict[str, Histogram] = defaultdict(Histogram)
    for one in trips:
        if one.kind and one.latency_ms is not None:
            found[one.kind].add(nanoseconds(one.latency_ms / 1e3))
    return {kind: Summary.of(of) for kind, of in found.items()}


def histogram(trips: Sequence[Trip]) -> list[Bucket]:
    """Return the latencies in buckets of equal ratio, ascending, without the empty ones."""
    counts = Counter(
        math.ceil(math.log2(max(one.latency_ms, 1e-3)) * PER_OCTAVE)
        for one in trips
        if one.latency_ms is not None
    )
    return [
        Bucket(round(2 ** (step / PER_OCTAVE), 6), count) for step, count in sorted(counts.items())
    ]


def stages(trips: Sequence[Trip]) -> dict[str, Stage]:
    """Return where the time went, of the frames whose results say so.

    With `send`, `between` and `answer` the means add up to these frames' mean latency.
    """
    told = [one for one in trips if one.stages_ms and one.path_ms is not None]
    if not told:
        return {}
    each: dict[str, Callable[[Trip], float]] = {
        name: lambda one, name=name: (one.stages_ms or {}).get(name, 0.0)  # type: ignore[misc]
        for name in STAGES
    }
    if any(one.send_ms for one in told):
        each = {SEND: lambda one: one.send_ms or 0.0, **each}
    each[BETWEEN] = lambda one: (one.path_ms or 0.0) - sum((one.stages_ms or {}).values())
    each[ANSWER] = lambda one: (one.latency_ms or 0.0) - (one.send_ms or 0.0) - (one.path_ms or 0.0)
    return {name: _stage([of(one) for one in told]) for name, of in each.items()}


def _stage(values: list[float]) -> Stage:
    ordered = sorted(values)
    p50, p99 = (
        ordered[max(1, math.ceil(round(percent / 100 * len(ordered), 6))) - 1]
        for percent in (50, 99)
    )
    return Stage(p50=round(p50, DIGITS), p99=round(p99, DIGITS), mean=round(fmean(ordered), DIGITS))


def timeline(trips: Sequence[Trip], start_s: float) -> list[Second]:
    """Return the run second by second, to the last answer."""
    due: defaultdict[int, list[Trip]] = defaultdict(list)
    answers: Counter[int] = Counter()
    for one in trips:
        at_s = one.due_s - start_s
        due[math.floor(at_s)].append(one)
        if one.latency_ms is not None:
            answers[math.floor(at_s + one.latency_ms / 1e3)] += 1
    if not due:
        return []
    first, last = min(due), max(max(due), max(answers, default=0))
    return [
        Second(
            at_s=float(number),
            sent=len(due[number]),
            answered=answers[number],
            p50=_rounded(observed_ms(due[number], 50)),
            p99=_rounded(observed_ms(due[number], 99)),
        )
        for number in range(first, last + 1)
    ]


Spent = dict[tuple[str, int], float]


def cpu_ms(before: Spent, after: Spent, outcome: Outcome) -> dict[str, float]:
    """Return processor milliseconds a frame by process, the generator's too.

    A process that was killed took its count with it: it is absent, and so is its successor.
    """
    frames = max(1, outcome.answered)
    found = {
        name: round(1e3 * (after[name, pid] - seconds) / frames, DIGITS)
        for (name, pid), seconds in before.items()
        if (name, pid) in after
    }
    return found | {"generator": round(1e3 * outcome.cpu_s / frames, DIGITS)}


def bytes_per_frame(trips: Sequence[Trip]) -> float | None:
    """Return the mean bytes of a frame's encoded pixels and of its answer, together."""
    whole = [one.bytes for one in trips if one.latency_ms is not None]
    return round(fmean(whole), 1) if whole else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, DIGITS)
