"""A cap on the bytes of all objects that are being received and accepted, over associations."""

from __future__ import annotations

import threading
import time
from typing import Final

WAIT_S: Final = 30.0  # how long one may wait for others; its peer is held up by TCP meanwhile


class InFlight:
    """Counts bytes against `limit`; any thread may ask."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._used = 0
        self._stuck = 0  # of the used ones, those of objects that wait for more
        self._closed = False
        self._changed = threading.Condition()

    @property
    def used(self) -> int:
        """The bytes held now."""
        return self._used

    def close(self) -> None:
        """Let nobody wait any longer."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def take(self, more: int) -> bool:
        """Take `more` bytes at once, or return False."""
        with self._changed:
            if self._used + more > self.limit:
                return False
            self._used += more
            return True

    def wait(self, more: int, held: int) -> bool:
        """Take `more` bytes for an object that holds `held`, as soon as others give theirs back.

        Return False, with nothing taken, where waiting would be in vain: all bytes in use are held
        by objects that wait themselves, or `WAIT_S` have passed.
        """
        with self._changed:
            self._stuck += held
            end_s = time.monotonic() + WAIT_S
            try:
                while self._used + more > self.limit:
                    left_s = end_s - time.monotonic()
                    if self._closed or left_s <= 0 or self._stuck == self._used:
                        return False
                    self._changed.wait(left_s)
                self._used += more
                return True
            finally:
                self._stuck -= held

    def give_back(self, held: int) -> None:
        """Return what an object held."""
        with self._changed:
            self._used -= held
            self._changed.notify_all()
