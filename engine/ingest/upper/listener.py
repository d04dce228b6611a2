"""Take connections as they come, within caps, and hand each on at once."""

from __future__ import annotations

import errno
import logging
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from enum import Enum
from typing import Final

log = logging.getLogger(__name__)

TURNED_AWAY: Final = 16  # associations that are being told that there are too many; more are cut
PAUSE_S: Final = 0.2  # after a failed accept: without descriptors it fails again at once
SAY_AGAIN_S: Final = 5.0
BACKLOG: Final = 128


class Place(Enum):
    """What a connection gets: an association, words of regret, or nothing."""

    SERVED = "served"
    TURNED_AWAY = "turned away"
    CUT = "cut"


class Places:
    """Counts connections, in all and by address; any thread may ask."""

    def __init__(self, most: int, most_of_address: int) -> None:
        self._most, self._most_of_address = most, most_of_address
        self._served: Counter[str] = Counter()
        self._turned_away = 0
        self._lock = threading.Lock()

    @property
    def served(self) -> int:
        """How many are served now."""
        return self._served.total()

    def enter(self, address: str) -> Place:
        """Take a place; it is given back with `leave`."""
        with self._lock:
            if self.served < self._most and self._served[address] < self._most_of_address:
                self._served[address] += 1
                return Place.SERVED
            if self._turned_away >= TURNED_AWAY:
                return Place.CUT
            self._turned_away += 1
            return Place.TURNED_AWAY

    def leave(self, address: str, place: Place) -> None:
        """Give a place back."""
        with self._lock:
            if place is Place.TURNED_AWAY:
                self._turned_away -= 1
            elif place is Place.SERVED:
                self._served[address] -= 1
                self._served += Counter()  # forgets addresses without any


Hand = Callable[[socket.socket, str, Place], None]


class Listener:
    """Accepts in a thread of its own, until `stop`; `hand` gets each connection that has a place.

    `hand` closes the connection and gives the place back; where it raises, that is done here.
    """

    def __init__(self, host: str, port: int, places: Places, hand: Hand) -> None:
        """Listen; raise `OSError` when the port is taken."""
        self._places, self._hand = places, hand
        self._socket = socket.create_server((host, port), backlog=BACKLOG)
        self._stopped = threading.Event()
        self._said_s = float("-inf")
        self._thread = threading.Thread(target=self._run, name="listener", daemon=True)

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self._socket.getsockname()[1])

    def start(self) -> None:
        """Begin to accept."""
        self._thread.start()

    def stop(self) -> None:
        """Stop listening."""
        self._stopped.set()
        try:
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes the thread; closing would not
        except OSError as error:
            if error.errno != errno.ENOTCONN:
                raise
        if self._thread.is_alive():
            self._thread.join()
        self._socket.close()

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                connection, peer = self._socket.accept()
            except OSError as error:
                if not self._stopped.is_set():
                    self._say("cannot accept a connection", error)
                    self._stopped.wait(PAUSE_S)
                continue
            self._pass_on(connection, str(peer[0]))

    def _pass_on(self, connection: socket.socket, address: str) -> None:
        place = self._places.enter(address)
        if place is Place.CUT:
            connection.close()
            return
        try:
            self._hand(connection, address, place)
        except (OSError, RuntimeError) as error:  # no thread, no descriptor, no process
            self._say("cannot serve a connection", error)
            connection.close()
            self._places.leave(address, place)

    def _say(self, what: str, error: Exception) -> None:
        """Log, but not each time: it may happen very often."""
        now_s = time.monotonic()
        if now_s - self._said_s > SAY_AGAIN_S:
            self._said_s = now_s
            log.error("%s (%s); trying on", what, type(error).__name__)
