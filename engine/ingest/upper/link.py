"""A peer's connection: exact reads with deadlines, straight into where the bytes shall lie."""

from __future__ import annotations

import socket
import ssl
import struct
import time
from contextlib import suppress
from typing import Final, NamedTuple

from engine.errors import AssociationFault

TICK_S: Final = 1.0  # how often a wait looks at its deadlines
SEND_LIMIT_S: Final = 10.0
WINDOW_S: Final = 10.0  # over which a peer's progress is measured
STAGED_BYTES: Final = 4096


class Pace(NamedTuple):
    """What a peer must keep up.

    `silence_s`: the longest time without a byte. `least_rate`: bytes a second over `WINDOW_S`
    while a message is under way; 0 for any.
    """

    silence_s: float
    least_rate: float


class Link:
    """Wraps a connected TCP or TLS socket; used by one thread, `interrupt` by any."""

    def __init__(self, connection: socket.socket, pace: Pace) -> None:
        self._socket, self._pace = connection, pace
        self._scatters = not isinstance(connection, ssl.SSLSocket)
        self._staged = memoryview(bytearray(STAGED_BYTES))
        self._start = self._end = 0
        self._deadline_s = float("inf")
        self._heard_s = self._window_s = time.monotonic()
        self._window_bytes = 0
        self._moving = False
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._scatters:  # the kernel's own timeouts: Python's would poll before each read
            connection.settimeout(None)
            for option, seconds in (
                (socket.SO_RCVTIMEO, TICK_S),
                (socket.SO_SNDTIMEO, SEND_LIMIT_S),
            ):
                whole = int(seconds)
                packed = struct.pack("ll", whole, int(1e6 * (seconds - whole)))
                connection.setsockopt(socket.SOL_SOCKET, option, packed)
        else:
            connection.settimeout(TICK_S)

    def expect(self, seconds: float | None) -> None:
        """Let everything that is read from now on come within `seconds`; None: no deadline."""
        self._deadline_s = float("inf") if seconds is None else time.monotonic() + seconds

    def moving(self, now: bool = True) -> None:
        """Say that a message is under way, or is none: only then must there be progress."""
        self._moving = now
        if now:
            # A sender with Nagle's algorithm holds back an object's last bytes until what came
            # before is acknowledged, which the kernel puts off for 40 ms once we have answered.
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        self._window_s = self._heard_s = time.monotonic()
        self._window_bytes = 0

    def read(self, size: int) -> memoryview:
        """Return the next `size` bytes, at most `STAGED_BYTES`, valid until the next read."""
        while self._end - self._start < size:
            rest = self._end - self._start
            self._staged[:rest] = self._staged[self._start : self._end]
            self._start, self._end = 0, rest
            self._end += self._receive(self._staged[rest:])
        self._start += size
        return self._staged[self._start - size : self._start]

    def read_into(self, view: memoryview) -> None:
        """Fill `view` with the next bytes."""
        size = len(view)
        at = min(self._end - self._start, size)
        view[:at] = self._staged[self._start : self._start + at]
        self._start += at
        while at < size:  # nothing is staged any more
            got = self._receive(view[at:], more=True)
            at += got
            if at > size:
                self._start, self._end = 0, at - size

    def send(self, data: bytes) -> None:
        """Send; raise `AssociationFault` where the peer does not take it."""
        try:
            self._socket.sendall(data)
        except (OSError, ValueError) as error:
            raise gone(f"the peer does not take an answer ({type(error).__name__})") from None

    def interrupt(self) -> None:
        """End the reading of the link's thread, from another."""
        with suppress(OSError):
            # not the SSLSocket's own, which would drop its TLS state under the reading thread
            socket.socket.shutdown(self._socket, socket.SHUT_RD)

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def _receive(self, view: memoryview, *, more: bool = False) -> int:
        """Receive what is there, at least a byte; with `more` what is beyond `view` is staged."""
        while True:
            try:
                if more and self._scatters:
                    got = self._socket.recvmsg_into([view, self._staged])[0]
                else:
                    got = self._socket.recv_into(view)
            except (BlockingIOError, TimeoutError, ssl.SSLWantReadError):
                self._check(time.monotonic())
                continue
            except (OSError, ValueError) as error:
                raise gone(f"the connection broke ({type(error).__name__})") from None
            if got == 0:
                raise gone("the peer closed the connection")
            self._heard_s = time.monotonic()
            self._window_bytes += got
            self._check(self._heard_s)
            return got

    def _check(self, now_s: float) -> None:
        if now_s > self._deadline_s:
            raise gone("the peer took too long to ask for an association", tell=True)
        if now_s - self._heard_s > self._pace.silence_s:
            raise gone("the peer was silent for too long", tell=True)
        elapsed_s = now_s - self._window_s
        if elapsed_s >= WINDOW_S:
            if self._moving and self._window_bytes < self._pace.least_rate * elapsed_s:
                raise gone("the peer sends too slowly", tell=True)
            self._window_s, self._window_bytes = now_s, 0


def gone(what: str, *, tell: bool = False) -> AssociationFault:
    """Return the fault of a peer that is gone; with `tell` of one that gets an A-ABORT."""
    return AssociationFault(what, source=2 if tell else None, reason=0)
