"""How far a percentile of one run can be trusted.

The interval of a percentile is that of the share of frames below it: Wilson's score interval
(E. B. Wilson, JASA 22, 1927), read off the histogram. It is right for independent frames; frames in
a queue are not, a stall makes all that are due in it late. `clumping` measures by how much, as the
design effect of cluster samples (L. Kish, Survey Sampling, 1965): the variance of the count of slow
frames over blocks of seconds against what independent frames would give. The interval is that of so
many times fewer frames.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from statistics import NormalDist
from typing import NamedTuple

from perf.run.record import Bucket, RunRecord, Second

CONFIDENCE = 0.95
PERCENTILES = (50.0, 90.0, 99.0, 99.9, 99.99, 99.999)
_NORMAL = NormalDist()
_T9 = 2.262  # Student's t for CONFIDENCE: the clumping is known from BLOCKS figures only
_Z99 = _NORMAL.inv_cdf(0.99)
BLOCKS = 10  # of seconds: longer than most bursts, and still enough of them to see a variance


class Interval(NamedTuple):
    """A percentile in milliseconds with where it lies, at CONFIDENCE.

    `high` is None where the run has too few frames to bound it from above.
    """

    value: float
    low: float
    high: float | None


def interval(record: RunRecord, percent: float) -> Interval | None:
    """Return a percentile of the latencies with its interval; None without a histogram."""
    buckets = record.histogram_ms
    count = sum(one.count for one in buckets)
    if not count:
        return None
    share = percent / 100
    value = _told(record, percent) or at_share(buckets, count, share)
    trusted = count / clumping(record.timeline, share, value)
    low, high = wilson(share, trusted)
    bounded = share**trusted <= (1 - CONFIDENCE) / 2
    return Interval(
        value,
        min(value, at_share(buckets, count, low)),
        max(value, at_share(buckets, count, high)) if bounded else None,
    )


def shown(count: int) -> list[float]:
    """Return the percentiles above which at least ten of `count` frames lie, and p50."""
    return [p for p in PERCENTILES if p == 50 or round(count * (100 - p) / 100, 6) >= 10]


def _told(record: RunRecord, percent: float) -> float | None:
    """Return a percentile of the summary, whose steps are finer than the histogram's."""
    name = f"p{percent:g}".replace(".", "_")
    return getattr(record.latency_ms, name, None)


def at_share(buckets: Sequence[Bucket], count: int, share: float) -> float:
    """Return the least bound, in ms, that `share` (0 to 1) of `count` frames do not exceed."""
    rank = max(1, math.ceil(round(share * count, 6)))
    for one in buckets:
        rank -= one.count
        if rank <= 0:
            return one.upper_bound_ms
    return buckets[-1].upper_bound_ms


def wilson(share: float, count: float) -> tuple[float, float]:
    """Return the interval of a share seen in `count` independent frames."""
    middle = share + _T9**2 / (2 * count)
    reach = _T9 * math.sqrt(share * (1 - share) / count + _T9**2 / (4 * count**2))
    scale = 1 + _T9**2 / count
    return max(0.0, (middle - reach) / scale), min(1.0, (middle + reach) / scale)


def clumping(timeline: Sequence[Second], share: float, value_ms: float) -> float:
    """Return how many frames say as much as one independent frame would; at least 1.

    How many frames of a second were slower than `value_ms` follows from its p50 and p99, as if its
    latencies were log-normal. Without at least `BLOCKS` seconds it is 1: nothing is known.
    """
    seconds = [one for one in timeline if one.sent and one.p50 and one.p99]
    if len(seconds) < BLOCKS:
        return 1.0
    sent = [one.sent for one in seconds]
    guessed = [one.sent * _slower(one, value_ms) for one in seconds]
    expected = sum(sent) * (1 - share)
    if not sum(guessed) or not expected:
        return 1.0
    slow = [n * expected / sum(guessed) for n in guessed]  # as many as there were in all
    edges = [round(n * len(seconds) / BLOCKS) for n in range(BLOCKS + 1)]
    between = sum((sum(slow[a:b]) - (1 - share) * sum(sent[a:b])) ** 2 for a, b in pairwise(edges))
    return 1.0 + between * BLOCKS / (BLOCKS - 1) / (expected * share)


def _slower(second: Second, value_ms: float) -> float:
    """Return the share of a second's frames that were slower than `value_ms`."""
    p50, p99 = math.log(second.p50 or 1), math.log(second.p99 or 1)
    spread = max((p99 - p50) / _Z99, 1e-6)
    return 1 - _NORMAL.cdf((math.log(max(value_ms, 1e-6)) - p50) / spread)
