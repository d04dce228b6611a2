"""Several processes on one port: the parent accepts, and hands each connection to the least busy.

Left to the kernel (SO_REUSEPORT) eight connections may fall seven to one. Handed on, they are
spread evenly, and caps on connections are exact. A connection is passed over a Unix socket
(SCM_RIGHTS, unix(7)); the child says when it has ended. Each side ends when the other is gone.
"""

from __future__ import annotations

import logging
import os
import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Final, Self

from engine.errors import LocalStackError
from engine.ingest.upper.listener import Place, Places

log = logging.getLogger(__name__)

SEAT: Final = "SCANSTREAM_GATEWAY_SEAT"  # descriptor:number:of, for a child of ours alone
START_LIMIT_S: Final = 120.0
STOP_LIMIT_S: Final = 60.0
FIRST_DELAY_S, LAST_DELAY_S = 0.2, 10.0

_MESSAGE: Final = struct.Struct("<L?")  # serial number of the connection, whether it is turned away
_ENDED: Final = struct.Struct("<L")
_READY: Final = 0  # in place of a serial number

Serve = Callable[[socket.socket, Place, Callable[[], None]], None]


class Seat:
    """A child's side: it serves the connections that its parent hands it."""

    def __init__(self, control: socket.socket, number: int, of: int) -> None:
        self._control, self.number, self.of = control, number, of

    @classmethod
    def given(cls) -> Self | None:
        """Return the seat of this process where it is a child, else None."""
        words = os.environ.pop(SEAT, "")
        if not words:
            return None
        descriptor, number, of = map(int, words.split(":"))
        return cls(socket.socket(fileno=descriptor), number, of)

    def start(self, serve: Serve, parent_gone: Callable[[], None]) -> None:
        """Take connections from now on, in a thread; `parent_gone` is called once, at the end."""
        threading.Thread(
            target=self._run, args=(serve, parent_gone), name="seat", daemon=True
        ).start()

    def _run(self, serve: Serve, parent_gone: Callable[[], None]) -> None:
        self._ended(_READY)
        while True:
            try:
                message, descriptors, _, _ = socket.recv_fds(self._control, _MESSAGE.size, 1)
            except OSError:
                message = b""
            if not message:
                parent_gone()
                return
            serial, turn_away = _MESSAGE.unpack(message)
            if not descriptors:  # this process has none left
                self._ended(serial)
                continue
            connection = socket.socket(fileno=descriptors[0])
            place = Place.TURNED_AWAY if turn_away else Place.SERVED
            try:
                serve(connection, place, partial(self._ended, serial))
            except (OSError, RuntimeError) as error:
                log.error("cannot serve a connection (%s); trying on", type(error).__name__)
                connection.close()
                self._ended(serial)

    def _ended(self, serial: int) -> None:
        with suppress(OSError):  # the parent is gone, and so shall we
            self._control.send(_ENDED.pack(serial))


class _Child:
    """One process, as its parent knows it."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.process: subprocess.Popen[bytes] | None = None
        self.control: socket.socket | None = None  # None unless it takes connections
        self.held: dict[int, tuple[str, Place]] = {}


class Children:
    """The parent's side. `command` starts a child, `environ` gives the environment of each."""

    def __init__(
        self,
        command: Sequence[str],
        environ: Callable[[int], Mapping[str, str]],
        number: int,
        places: Places,
    ) -> None:
        self._command, self._environ, self._places = list(command), environ, places
        self._children = [_Child(each) for each in range(number)]
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._serial = _READY
        self._threads = [
            threading.Thread(target=self._keep, args=(child,), name="child", daemon=True)
            for child in self._children
        ]

    @property
    def pids(self) -> list[int]:
        """The processes that run."""
        return [child.process.pid for child in self._children if child.process is not None]

    def start(self) -> None:
        """Start all and wait until they take connections; raise `LocalStackError`."""
        for thread in self._threads:
            thread.start()
        with self._changed:
            self._changed.wait_for(self._settled, START_LIMIT_S)
            if all(child.control is not None for child in self._children):
                return
        self.stop()
        raise LocalStackError("a process of the gateway does not start; its log says why")

    def hand(self, connection: socket.socket, address: str, place: Place) -> None:
        """Give a connection to the child with the fewest; raise `OSError` where none takes it."""
        with self._changed:
            self._changed.wait_for(self._ready, FIRST_DELAY_S)
            for child in sorted(self._ready(), key=lambda each: len(each.held)):
                self._serial = self._serial % 0xFFFFFFFF + 1
                message = _MESSAGE.pack(self._serial, place is Place.TURNED_AWAY)
                child.held[self._serial] = (address, place)
                try:
                    assert child.control is not None
                    socket.send_fds(child.control, [message], [connection.fileno()])
                except OSError:
                    del child.held[self._serial]
                    continue
                connection.close()
                return
        raise OSError("no process of the gateway takes connections")

    def stop(self) -> None:
        """Let all finish what is in flight; kill what has not ended after `STOP_LIMIT_S`."""
        self._stopping.set()
        for child in self._children:
            if child.process is not None:
                child.process.terminate()
        for child, thread in zip(self._children, self._threads, strict=True):
            thread.join(STOP_LIMIT_S)
            if thread.is_alive() and child.process is not None:
                child.process.kill()
                thread.join()

    def _ready(self) -> list[_Child]:
        return [child for child in self._children if child.control is not None]

    def _settled(self) -> bool:
        """True once all are ready, or one has ended before it was."""
        return self._stopping.is_set() or len(self._ready()) == len(self._children)

    def _keep(self, child: _Child) -> None:
        """Run a child, and another when it has ended, until `stop`."""
        delay_s, was_ready = FIRST_DELAY_S, False
        while not self._stopping.is_set():
            was_ready = self._run(child)
            if self._stopping.is_set():
                return
            code = child.process.returncode if child.process is not None else None
            log.error("process %d of the gateway ended with code %s", child.number, code)
            delay_s = FIRST_DELAY_S if was_ready else min(2 * delay_s, LAST_DELAY_S)
            if code == 2:  # its settings are wrong, and will be
                self._stopping.set()
                with self._changed:
                    self._changed.notify_all()
                return
            self._stopping.wait(delay_s)

    def _run(self, child: _Child) -> bool:
        """Run a child to its end; return whether it was ever ready."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # a child that hangs must not hold up the others' connections
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", 1, 0))
        seat = f"{theirs.fileno()}:{child.number}:{len(self._children)}"
        with ours:
            with theirs:
                child.process = subprocess.Popen(
                    self._command,
                    env={**self._environ(child.number), SEAT: seat},
                    pass_fds=(theirs.fileno(),),
                    stdin=subprocess.DEVNULL,
                )
            if self._stopping.is_set():
                child.process.terminate()
            was_ready = False
            while message := _received(ours):
                (serial,) = _ENDED.unpack(message)
                was_ready = was_ready or serial == _READY
                self._note(child, ours, serial)
            with self._changed:
                child.control = None
                left = list(child.held.values())
                child.held.clear()
            for address, place in left:
                self._places.leave(address, place)
            child.process.wait()
        return was_ready

    def _note(self, child: _Child, control: socket.socket, serial: int) -> None:
        with self._changed:
            if serial == _READY:
                child.control = control
                self._changed.notify_all()
                return
            held = child.held.pop(serial, None)
        if held is not None:
            self._places.leave(*held)


def _received(control: socket.socket) -> bytes:
    try:
        return control.recv(_ENDED.size)
    except OSError:
        return b""
