"""When a server that failed is tried again: the states of a circuit breaker, as pure decisions."""

from __future__ import annotations

from typing import Literal

State = Literal["closed", "open", "half-open"]

FIRST_WAIT_S = 0.05
MAX_WAIT_S = 1.0


class Breaker:
    """Closed while the server answers, open after a failure, half-open while a probe is out.

    The wait before a probe doubles with every probe that fails, up to `MAX_WAIT_S`. All times are
    seconds on one clock of the caller's choice.
    """

    def __init__(self) -> None:
        self.state: State = "open"
        self._failures = 0  # probes in a row that failed
        self._not_before_s = 0.0

    def wait_s(self, now_s: float) -> float:
        """Return how long the next probe has to wait."""
        return max(0.0, self._not_before_s - now_s)

    def probe(self) -> None:
        """Note that one call goes out to see whether the server answers."""
        self.state = "half-open"

    def worked(self) -> None:
        """Note that the probe was answered."""
        self.state, self._failures = "closed", 0

    def failed(self, now_s: float) -> None:
        """Note that the probe was not answered."""
        self.state = "open"
        wait_s = min(MAX_WAIT_S, FIRST_WAIT_S * 2 ** min(self._failures, 10))
        self._not_before_s = now_s + wait_s
        self._failures += 1

    def lost(self) -> None:
        """Note that a connection that worked is gone: the first probe waits for nothing."""
        if self.state == "closed":
            self.state, self._not_before_s = "open", 0.0
