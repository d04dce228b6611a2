"""What the chaos suite shares: one stack on Apache Kafka with three workers, and scanners."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from perf.chaos.ledger import sized
from perf.chaos.scanner import Scanner, Sent
from perf.chaos.watcher import Watcher

LIMIT_S = float(sized(180, 600, 3600))
WORKERS = 3

Scan = Callable[..., list[Scanner]]


def assert_none_lost(
    scanners: Sequence[Scanner], watcher: Watcher, *, dead: int = 0, limit_s: float = LIMIT_S
) -> list[Sent]:
    """Wait for the answers; return what was acknowledged. Each has a result, all in order."""
    for one in scanners:
        one.check()
        assert not one.is_alive(), f"{one.name} still sends"
    sent = [each for one in scanners for each in one.acknowledged]
    unanswered = watcher.wait([one.frame_id for one in sent], limit_s)
    assert not unanswered, f"{len(unanswered)} of {len(sent)} frames have no answer"
    assert sum(one.frame_id in watcher.dead for one in sent) == dead
    assert watcher.inversions() == 0
    return sent


def rate_of(sent: Sequence[Sent], watcher: Watcher) -> float:
    """Return how many of these were answered a second, once the first was."""
    at_s = sorted(watcher.results[one.frame_id].at_s for one in sent)
    return (len(at_s) - 1) / (at_s[-1] - at_s[0])


def seconds_since(begun_s: float) -> float:
    """Return the seconds since `begun_s` of `time.monotonic`."""
    return time.monotonic() - begun_s
