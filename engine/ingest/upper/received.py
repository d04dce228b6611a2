"""The data set that an association receives: one buffer, filled in place and used again."""

from __future__ import annotations

from typing import Final

from engine.errors import AssociationFault
from engine.ingest.upper.inflight import InFlight
from engine.ingest.upper.link import Link
from engine.ingest.upper.pdu import NOT_SPECIFIED, SERVICE_USER

FIRST_BYTES: Final = 256 * 1024
KEPT_BYTES: Final = 4 * 1024 * 1024  # a larger buffer is not kept for the next object


class Received:
    """Bytes of one data set at a time, counted in `inflight`; at most `max_bytes`."""

    def __init__(self, inflight: InFlight, max_bytes: int) -> None:
        self._inflight, self._max_bytes = inflight, max_bytes
        self._buffer = bytearray()
        self._size = 0
        self.refused = False

    @property
    def view(self) -> memoryview:
        """What was received; it is valid until `clear`."""
        return memoryview(self._buffer)[: self._size]

    def take(self, link: Link, size: int) -> None:
        """Receive the next fragment, of `size` bytes.

        Raise `AssociationFault` where the object outgrows `max_bytes`. One that the cap on bytes
        in flight has no room for is `refused`: its bytes go nowhere from then on.
        """
        if self._size + size > self._max_bytes:
            raise AssociationFault(
                "an object exceeds `max_object_bytes`", source=SERVICE_USER, reason=NOT_SPECIFIED
            )
        if not self.refused and not self._inflight.take(size):
            self._wait(link, size)
        if self.refused:
            _pass_over(link, size)
            return
        self._size += size
        if self._size > len(self._buffer):
            self._grow()
        link.read_into(memoryview(self._buffer)[self._size - size : self._size])

    def clear(self, *, keep: bool = False) -> None:
        """Give the bytes back; with `keep` nobody else has the buffer, and it is filled again."""
        self._inflight.give_back(self._size)
        self._size, self.refused = 0, False
        if not keep or len(self._buffer) > KEPT_BYTES:
            self._buffer = bytearray()

    def _wait(self, link: Link, size: int) -> None:
        if self._inflight.wait(size, held=self._size):
            link.moving()  # it stood still for us
        else:
            self.clear()
            self.refused = True

    def _grow(self) -> None:
        """Make room: a new buffer of twice the length, so that all copies together are one."""
        old = self._buffer
        wanted = max(FIRST_BYTES, 2 * len(old), self._size)
        self._buffer = bytearray(min(wanted, max(self._max_bytes, self._size)))
        self._buffer[: len(old)] = old


def _pass_over(link: Link, size: int) -> None:
    scratch = memoryview(bytearray(min(size, FIRST_BYTES)))
    while size:
        part = scratch[: min(size, len(scratch))]
        link.read_into(part)
        size -= len(part)
