"""Which frames go together, and when: pure decisions, the time is passed in.

Unexpired frames are taken earliest deadline first. Expired ones are never refused: they are served
in order of arrival from the capacity that is left, and at least from `LATE_SHARE` of all places,
so that an overload cannot starve them.
"""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass
from typing import Generic, TypeVar

LATE_SHARE = 0.25

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Taken(Generic[T]):
    """One frame of a batch; `late` when its deadline had passed as it was taken."""

    item: T
    deadline_s: float
    late: bool


class Batcher(Generic[T]):
    """Holds frames until a batch is full or its oldest frame has waited `max_wait_s`.

    All times are seconds on one clock of the caller's choice.
    """

    def __init__(self, *, max_batch: int, max_wait_s: float) -> None:
        self.max_batch = max_batch
        self.max_wait_s = max_wait_s
        self._fresh: list[tuple[float, int, T]] = []  # a heap by deadline, then arrival
        self._late: deque[tuple[float, int, T]] = deque()
        self._arrived: dict[int, float] = {}  # arrival number -> time, in order of arrival
        self._next_number = 0
        self._late_credit = 0.0  # places owed to expired frames; fractions add up over batches

    def __len__(self) -> int:
        return len(self._arrived)

    def add(self, item: T, *, deadline_s: float, now_s: float) -> None:
        """Take in one frame."""
        heapq.heappush(self._fresh, (deadline_s, self._next_number, item))
        self._arrived[self._next_number] = now_s
        self._next_number += 1

    def due_s(self) -> float | None:
        """Return when the next batch is due, or None while nothing waits."""
        if not self._arrived:
            return None
        oldest = next(iter(self._arrived.values()))
        return oldest if len(self) >= self.max_batch else oldest + self.max_wait_s

    def is_due(self, now_s: float) -> bool:
        """True once the batch is full or its oldest frame has waited `max_wait_s`."""
        due = self.due_s()
        return due is not None and now_s >= due

    def take(self, now_s: float) -> list[Taken[T]]:
        """Remove and return the next batch: at most `max_batch` frames, most urgent first."""
        self._expire(now_s)
        owed = self._owed_to_late()
        fresh = min(len(self._fresh), self.max_batch - owed)
        batch = [self._taken(heapq.heappop(self._fresh), late=False) for _ in range(fresh)]
        late = min(len(self._late), self.max_batch - fresh)
        return batch + [self._taken(self._late.popleft(), late=True) for _ in range(late)]

    def _expire(self, now_s: float) -> None:
        """Move the frames whose deadline has passed to the late queue, in order of arrival."""
        expired = []
        while self._fresh and self._fresh[0][0] < now_s:
            expired.append(heapq.heappop(self._fresh))
        self._late.extend(sorted(expired, key=lambda entry: entry[1]))

    def _owed_to_late(self) -> int:
        """Return how many places of this batch belong to expired frames."""
        if not self._late:
            self._late_credit = 0.0
            return 0
        self._late_credit += self.max_batch * LATE_SHARE
        owed = min(len(self._late), int(self._late_credit))
        self._late_credit -= owed
        return owed

    def _taken(self, entry: tuple[float, int, T], *, late: bool) -> Taken[T]:
        deadline_s, number, item = entry
        del self._arrived[number]
        return Taken(item, deadline_s, late)
