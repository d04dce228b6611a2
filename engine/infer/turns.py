"""Turns at a server: how many bulk batches are with it at once, counted over all processes.

A turn is a lock on a file beside the shared memory, which only processes on the server's host use.
The kernel gives it back when its holder dies. It is a courtesy to STAT frames, which take none: a
holder that hangs is waited for once, and then no more until it has let go.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import itertools
import logging
import os
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from engine.infer.slots import FOLDER

log = logging.getLogger(__name__)

PATIENCE_S = 5.0  # longer than any batch, shorter than a client waits for its answer


class Turns:
    """Turns of everything on this host that has the same `name`. For one event loop."""

    def __init__(self, name: str) -> None:
        digest = hashlib.sha256(name.encode()).hexdigest()[:16]
        self._path = str(FOLDER / f"scanstream.turn-{digest}")  # no prefix that is swept
        self._numbers = itertools.count(os.getpid())
        self._count = 1
        self._ours = asyncio.Semaphore(1)
        self._hung = False
        self._told = False

    @asynccontextmanager
    async def turn(self, count: int) -> AsyncIterator[None]:
        """Wait until fewer than `count` hold a turn, and hold one; go without where one hangs.

        Who comes while another process waits goes behind it.
        """
        if count != self._count:  # another version; those that hold a turn keep it
            self._count, self._ours = count, asyncio.Semaphore(count)
        async with self._ours:
            file = await self._lock(count)
            try:
                yield
            finally:
                if file is not None:
                    os.close(file)

    async def _lock(self, count: int) -> int | None:
        """Return the descriptor that holds a turn, or None: there is none to be had."""
        first = next(self._numbers)
        names = [f"{self._path}-{(first + one) % count}" for one in range(count)]
        door: int | None = None
        try:
            door = _open(f"{self._path}-door")
            for name in names if _try_lock(door) else ():
                if _try_lock(file := _open(name)):
                    self._hung = False
                    os.close(door)
                    return file
                os.close(file)
            awaited = None if self._hung else _open(names[0])
        except OSError as error:
            self._tell(error)
            awaited = None
        if door is not None and awaited is not None:
            return await self._wait(door, awaited)
        if door is not None:  # open, it would keep every other process out
            os.close(door)
        return None

    def _tell(self, error: OSError) -> None:
        if not self._told:  # else once a batch
            log.warning("no turns are taken at the model, STAT may wait longer: %s", error)
        self._told = True

    async def _wait(self, door: int, file: int) -> int | None:
        """Wait in a thread: the kernel tells nobody else. One at a time stands in the door."""
        loop = asyncio.get_running_loop()
        locked: asyncio.Future[None] = loop.create_future()

        def hand_over() -> None:
            if locked.done():
                os.close(file)  # nobody waits any more
            else:
                locked.set_result(None)

        def wait() -> None:
            fcntl.flock(door, fcntl.LOCK_EX)
            fcntl.flock(file, fcntl.LOCK_EX)
            os.close(door)
            try:
                loop.call_soon_threadsafe(hand_over)
            except RuntimeError:  # the loop has ended
                os.close(file)

        threading.Thread(target=wait, name="turn", daemon=True).start()
        try:
            async with asyncio.timeout(PATIENCE_S):
                await locked
        except BaseException as error:
            if locked.done() and not locked.cancelled():
                os.close(file)  # it came in the same moment
            if not isinstance(error, TimeoutError):
                raise
            self._hung = True
            log.warning("another process keeps its turn at the model for over %s s", PATIENCE_S)
            return None
        return file


def _open(path: str) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _try_lock(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
