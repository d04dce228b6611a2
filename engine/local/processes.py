"""Child processes that never outlive their parent, and servers made of them."""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from engine.errors import LocalStackError
from engine.local import guard

HOST = "127.0.0.1"
# Below Linux's ephemeral range (32768-60999). Inside it an outgoing connection may take the port
# while a server restarts, and a client that reconnects to it can even connect to itself.
PORTS = range(20000, 32000)
POLL_S = 0.02
TAIL_LINES = 5
TAIL_BYTES = 16384
_ERROR = re.compile(r"error|failed|panicked", re.IGNORECASE)


class Child:
    """One child process behind a guard; its output goes to `log`.

    `env` replaces the environment when given. `grace_s` is the time between SIGTERM and SIGKILL.
    `sweep` is a prefix of shared-memory names to remove when the child has ended.
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        grace_s: float = 5.0,
        sweep: str = "",
    ) -> None:
        self.name = name
        self.argv = list(argv)
        self.log = log
        self.env = env
        self.cwd = cwd
        self.grace_s = grace_s
        self.sweep = sweep
        self._guard: subprocess.Popen[bytes] | None = None
        self._lifeline = -1
        self._pid: int | None = None

    @property
    def pid(self) -> int | None:
        """Process id of the server itself, None before the start."""
        return self._pid

    @property
    def alive(self) -> bool:
        """True while the server runs."""
        return self._guard is not None and self._guard.poll() is None

    @property
    def exit_code(self) -> int | None:
        """Exit code once it has ended, 128 + the signal when a signal ended it."""
        return None if self._guard is None else self._guard.poll()

    def start(self) -> None:
        """Start the process; raise `LocalStackError` when it cannot be executed."""
        if self.alive:
            return
        self._release()
        self.log.parent.mkdir(parents=True, exist_ok=True)
        lifeline, self._lifeline = os.pipe()
        report_read, report = os.pipe()
        # -I and -S: the guard needs no packages and must not meet a module of the same name.
        command = [sys.executable, "-I", "-S", guard.__file__, str(lifeline), str(report)]
        command += [str(self.grace_s), self.sweep, *self.argv]
        with self.log.open("ab") as log:
            self._guard = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(lifeline, report),
                env=self.env,
                cwd=self.cwd,
                start_new_session=True,  # Ctrl-C on the terminal is for the parent to handle
            )
        os.close(lifeline)
        os.close(report)
        with os.fdopen(report_read) as answers:
            self._read_report(answers.read())

    def stop(self) -> None:
        """SIGTERM, then SIGKILL after `grace_s`; returns when nothing of it is left."""
        self._release()

    def kill(self) -> None:
        """SIGKILL at once; returns when nothing of it is left."""
        if self.alive:
            with contextlib.suppress(BrokenPipeError):  # it ended in this very moment
                os.write(self._lifeline, b"k")
        self._release()

    def tail(self, lines: int = TAIL_LINES) -> str:
        """Return the last lines of the log, those that speak of an error when there are any."""
        if not self.log.exists():
            return ""
        with self.log.open("rb") as file:
            file.seek(max(0, self.log.stat().st_size - TAIL_BYTES))
            text = file.read().decode(errors="replace")
        said = [line for line in text.splitlines() if line.strip()]
        errors = [line for line in said if _ERROR.search(line)]
        return "\n".join((errors or said)[-lines:])

    def _read_report(self, report: str) -> None:
        if "!" in report or not report:
            self._release()
            why = report.partition("!")[2] or f"see {self.log}"
            raise LocalStackError(f"{self.name}: cannot run {self.argv[0]}: {why}")
        self._pid = int(report)

    def _release(self) -> None:
        if self._guard is None or self._lifeline < 0:
            return
        os.close(self._lifeline)
        self._lifeline = -1
        code = self._guard.wait(self.grace_s + guard.KILL_LIMIT_S + 5.0)
        if code >= 0 or self._pid is None:
            return
        with contextlib.suppress(ProcessLookupError):  # the guard was killed: do its work
            os.killpg(self._pid, signal.SIGKILL)
        if self.sweep:
            guard.remove_shared_memory(self.sweep)


class Server(ABC):
    """A child process that listens on loopback ports and can say that it is ready.

    Use it as a context manager, or call `start` and `stop`. `restart` keeps the ports.
    """

    name: str
    deadline_s: float = 30.0

    def __init__(self, folder: Path, ports: Sequence[int | None]) -> None:
        self.folder = folder
        self._wanted = list(ports)
        self._reserved: list[socket.socket] = []
        self._child: Child | None = None

    @property
    def ports(self) -> list[int]:
        """The ports, from the reservation on."""
        return [held.getsockname()[1] for held in self._reserved]

    @abstractmethod
    def _make_child(self) -> Child:
        """Return the child for `self.ports`; raise `LocalStackError` when a part is missing."""

    @abstractmethod
    def _is_ready(self) -> bool:
        """Ask the server itself, once; False while it does not answer."""

    @property
    def pid(self) -> int | None:
        """Process id of the server, None before the start."""
        return None if self._child is None else self._child.pid

    @property
    def alive(self) -> bool:
        """True while the process runs."""
        return self._child is not None and self._child.alive

    @property
    def exit_code(self) -> int | None:
        """Exit code once it has ended, 128 + the signal when a signal ended it."""
        return None if self._child is None else self._child.exit_code

    def reserve(self) -> None:
        """Take the ports, so that the address is known before the start and kept until `stop`."""
        if not self._reserved:
            self._reserved = [reserve_port(self.name, port) for port in self._wanted]

    def start(self) -> None:
        """Start, and wait until ready; raise `LocalStackError` and leave nothing when it fails."""
        self.reserve()
        try:
            self._child = self._make_child()
            self._child.start()
            wait_ready(self._child, self._is_ready, self.deadline_s)
        except BaseException:
            self.stop()
            raise

    def restart(self) -> None:
        """Start again on the same ports, ending what still runs; wait until ready."""
        if self._child is not None:
            self._child.stop()
        self.start()

    def stop(self) -> None:
        """End the server and everything it started; give the ports back."""
        if self._child is not None:
            self._child.stop()
        self._wanted = [*self.ports] or self._wanted
        while self._reserved:
            self._reserved.pop().close()

    def kill(self) -> None:
        """SIGKILL at once, as a crash does."""
        if self._child is not None:
            self._child.kill()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def wait_ready(child: Child, is_ready: Callable[[], bool], deadline_s: float) -> None:
    """Wait until `is_ready()`; raise `LocalStackError` when `child` ends or time is up."""
    end = time.monotonic() + deadline_s
    while not is_ready():
        if not child.alive:
            raise LocalStackError(
                f"{child.name} ended with code {child.exit_code} before it was ready; "
                f"its log {child.log} ends:\n{child.tail()}"
            )
        if time.monotonic() > end:
            raise LocalStackError(
                f"{child.name} is not ready after {deadline_s:.0f} s; "
                f"its log {child.log} ends:\n{child.tail()}"
            )
        time.sleep(POLL_S)


def reserve_port(name: str, port: int | None = None) -> socket.socket:
    """Return a socket that holds `port`, or any free one, without listening.

    Others cannot bind the port while a server of ours is down; the server itself can, because both
    sockets set SO_REUSEADDR and only one listens (socket(7)).
    Raises `LocalStackError` when `port` is taken, or none is free.
    """
    candidates = random.SystemRandom().sample(PORTS, 100) if port is None else [port]
    for candidate in candidates:
        held = socket.socket()
        # Two choosers must not both get a free port; a given one may be in TIME_WAIT.
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, port is not None)
        try:
            held.bind((HOST, candidate))
        except OSError:
            held.close()
            continue
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return held
    if port is None:
        raise LocalStackError(f"{name}: no free port on {HOST} in {PORTS.start}-{PORTS.stop}")
    raise LocalStackError(
        f"{name}: port {port} is taken: stop what listens there, or choose another"
    )


def accepts(port: int) -> bool:
    """True when something accepts TCP connections on loopback `port`."""
    try:
        with socket.create_connection((HOST, port), timeout=1.0):
            return True
    except OSError:
        return False
