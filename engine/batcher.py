"""Which frames go together, and when: pure decisions, the time is passed in.

Unexpired frames are taken earliest deadline first. Expired ones are never refused: they are served
in order of arrival from the capacity that is left, and at least from `LATE_SHARE` of all places,
so that an overload cannot starve them.

With a measured `Curve` a batch begins as soon as the model is free, unless waiting for one more
frame pays; it is made no larger than its earliest deadline allows. Without one it begins when it is
full or its oldest frame has waited `max_wait_s`. Why: docs/decisions/0013-batches-by-deadline.md.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

LATE_SHARE = 0.25
_PACE_WEIGHT = 0.5  # of the newest gap between two arrivals
_SCALE_WEIGHT = 0.1  # of the newest batch in how fast the model is now
_SCALE_RANGE = (0.1, 10.0)  # one batch that was held up says little

T = TypeVar("T")


class Curve:
    """How long the model takes for a batch of n: its shape as measured, its scale as it is now.

    `measured` is seconds by batch size; between sizes it is a straight line, and a larger batch
    never takes less. An empty one says 0 for all: then nothing waits and nothing is made smaller.
    """

    def __init__(self, measured: Mapping[int, float]) -> None:
        self._sizes = sorted(measured)
        self._seconds: list[float] = []
        for size in self._sizes:
            self._seconds.append(max([measured[size], *self._seconds[-1:]]))
        self._scale = 1.0

    def seconds(self, count: int) -> float:
        """Return how long a batch of `count` takes, as the model is now."""
        return self._scale * self._shape(count)

    def saved(self, count: int) -> float:
        """Return what one frame more in a batch of `count` saves over a batch of its own."""
        alone = self.seconds(1)
        return max(0.0, self.seconds(count) + alone - self.seconds(count + 1))

    def largest(self, limit_s: float, most: int) -> int:
        """Return the largest batch, at most `most`, that takes no longer; 0 where none does."""
        return next((n for n in range(most, 0, -1) if self.seconds(n) <= limit_s), 0)

    def observe(self, count: int, seconds: float) -> None:
        """Take in how long a batch of `count` took just now."""
        expected = self._shape(count)
        if expected <= 0:
            return
        low, high = _SCALE_RANGE
        found = min(high, max(low, seconds / expected))
        self._scale += _SCALE_WEIGHT * (found - self._scale)

    def _shape(self, count: int) -> float:
        if not self._sizes:
            return 0.0
        at = bisect_left(self._sizes, count)
        if at == 0:
            return self._seconds[0]
        if at == len(self._sizes):  # beyond what was measured: by the frame, as the largest
            return self._seconds[-1] * count / self._sizes[-1]
        (left, right), (low, high) = self._sizes[at - 1 : at + 1], self._seconds[at - 1 : at + 1]
        return low + (high - low) * (count - left) / (right - left)


@dataclass(frozen=True, slots=True)
class Taken(Generic[T]):
    """One frame of a batch; `late` when its deadline had passed as it was taken."""

    item: T
    deadline_s: float
    late: bool


class Batcher(Generic[T]):
    """Holds frames until a batch is due. With `curve` None the settings alone decide.

    All times are seconds on one clock of the caller's choice.
    """

    def __init__(self, *, max_batch: int, max_wait_s: float, curve: Curve | None = None) -> None:
        self.max_batch = max_batch
        self.max_wait_s = max_wait_s
        self.curve = curve
        self._fresh: list[tuple[float, int, T]] = []  # a heap by deadline, then arrival
        self._late: deque[tuple[float, int, T]] = deque()
        self._arrived: dict[int, float] = {}  # arrival number -> time, in order of arrival
        self._next_number = 0
        self._late_credit = 0.0  # places owed to expired frames; fractions add up over batches
        self._newest_s: float | None = None
        self._gap_s = max_wait_s  # between two arrivals, smoothed; longer ones count as this

    def __len__(self) -> int:
        return len(self._arrived)

    def is_ripe(self, now_s: float) -> bool:
        """True while a batch of `max_batch` waits that may be sent before the model is free.

        Waiting cannot make it larger, and its earliest deadline is met behind a whole batch.
        """
        ahead_s = self.curve.seconds(self.max_batch) if self.curve else 0.0
        return len(self) >= self.max_batch and self._places(now_s + ahead_s) == self.max_batch

    def add(self, item: T, *, deadline_s: float, now_s: float) -> None:
        """Take in one frame."""
        heapq.heappush(self._fresh, (deadline_s, self._next_number, item))
        self._arrived[self._next_number] = now_s
        self._next_number += 1
        if self._newest_s is not None:
            gap_s = min(self.max_wait_s, now_s - self._newest_s)
            self._gap_s += _PACE_WEIGHT * (gap_s - self._gap_s)
        self._newest_s = now_s

    def due_s(self) -> float | None:
        """Return when the next batch is due where the model is free, or None: nothing waits."""
        if not self._arrived:
            return None
        oldest = next(iter(self._arrived.values()))
        if len(self) >= self.max_batch:
            return oldest
        latest = oldest + self.max_wait_s
        return latest if self.curve is None else min(latest, self._pays_until(self.curve, oldest))

    def is_due(self, now_s: float) -> bool:
        """True once waiting for more frames does not pay, or the settings allow no more."""
        due = self.due_s()
        return due is not None and now_s >= due

    def take(self, now_s: float) -> list[Taken[T]]:
        """Remove and return the next batch: at most `max_batch` frames, most urgent first."""
        self._expire(now_s)
        places = self._places(now_s)
        owed = self._owed_to_late(places)
        fresh = min(len(self._fresh), places - owed)
        batch = [self._taken(heapq.heappop(self._fresh), late=False) for _ in range(fresh)]
        late = min(len(self._late), places - fresh)
        return batch + [self._taken(self._late.popleft(), late=True) for _ in range(late)]

    def _pays_until(self, curve: Curve, oldest: float) -> float:
        """Return until when waiting for the next frame makes the sum of all waits shorter.

        n frames that wait g seconds for one more lose n * g; that one gains what a batch of its own
        would cost beyond that, less g.
        """
        count = len(self)
        patience = curve.saved(count) / (count + 1)
        if self._newest_s is None or self._gap_s >= patience:
            return oldest
        until = self._newest_s + patience
        if self._fresh:
            until = min(until, self._fresh[0][0] - curve.seconds(count + 1))
        return until

    def _places(self, now_s: float) -> int:
        """Return how many frames the batch may have for its earliest deadline to be met.

        Where even a batch of one would be late, or a whole batch more waits, a smaller one would
        only make the next ones late.
        """
        if self.curve is None or not self._fresh or len(self) >= 2 * self.max_batch:
            return self.max_batch
        left_s = self._fresh[0][0] - now_s
        return self.curve.largest(left_s, self.max_batch) or self.max_batch

    def _expire(self, now_s: float) -> None:
        """Move the frames whose deadline has passed to the late queue, in order of arrival."""
        expired = []
        while self._fresh and self._fresh[0][0] < now_s:
            expired.append(heapq.heappop(self._fresh))
        self._late.extend(sorted(expired, key=lambda entry: entry[1]))

    def _owed_to_late(self, places: int) -> int:
        """Return how many places of this batch belong to expired frames."""
        if not self._late:
            self._late_credit = 0.0
            return 0
        self._late_credit += places * LATE_SHARE
        owed = min(len(self._late), places, int(self._late_credit))
        self._late_credit -= owed
        return owed

    def _taken(self, entry: tuple[float, int, T], *, late: bool) -> Taken[T]:
        deadline_s, number, item = entry
        del self._arrived[number]
        return Taken(item, deadline_s, late)
