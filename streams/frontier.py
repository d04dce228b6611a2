"""The frontier of one partition: computing may finish in any order, releasing may not.

Faust's own bookkeeping steps over holes when events are acknowledged out of order (see
`docs/decisions/0002-ordered-release.md`), so a partition's offsets are acknowledged here, lowest
first, each only after its outcome was published and the broker has confirmed it.
"""

from __future__ import annotations

from typing import Generic, TypeVar

Outcome = TypeVar("Outcome")


class Frontier(Generic[Outcome]):
    """Offsets taken from one partition in one generation, and the outcomes of finished ones.

    The life of an offset: `take` -> `finish` -> `head` shows it once every lower one is released
    -> (the caller publishes and acknowledges) -> `release`. There is no other way out, so what is
    acknowledged is always below the lowest unfinished offset.
    """

    def __init__(self) -> None:
        self._outcomes: dict[int, Outcome | None] = {}  # in the order taken, which is offset order
        self._highest = -1

    def __len__(self) -> int:
        return len(self._outcomes)

    def has_taken(self, offset: int) -> bool:
        """Return whether this offset, or a higher one, was begun."""
        return offset <= self._highest

    def take(self, offset: int) -> None:
        """Begin with an offset. Offsets come in increasing order; holes are compacted records."""
        if self.has_taken(offset):
            raise ValueError(f"offset {offset} was taken after {self._highest}")
        self._highest = offset
        self._outcomes[offset] = None

    def finish(self, offset: int, outcome: Outcome) -> None:
        """Note the outcome of an offset that was taken and is not finished yet."""
        if offset not in self._outcomes or self._outcomes[offset] is not None:
            raise ValueError(f"offset {offset} is not being worked on")
        self._outcomes[offset] = outcome

    def head(self) -> tuple[int, Outcome] | None:
        """Return the lowest offset and its outcome once it is finished, else None."""
        for offset, outcome in self._outcomes.items():
            return None if outcome is None else (offset, outcome)
        return None

    def release(self, offset: int) -> None:
        """Forget the head, after its outcome was published and its offset acknowledged."""
        head = self.head()
        if head is None or head[0] != offset:
            raise ValueError(f"offset {offset} is not the finished head")
        del self._outcomes[offset]

    @property
    def lowest_unfinished(self) -> int:
        """The lowest offset without an outcome; one past the highest taken when there is none."""
        unfinished = (offset for offset, outcome in self._outcomes.items() if outcome is None)
        return next(unfinished, self._highest + 1)
