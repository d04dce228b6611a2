"""Run one server, and end it with everything it started as soon as the parent is gone.

`python -I -S guard.py LIFELINE REPORT GRACE SWEEP COMMAND...` starts COMMAND in a process group of
its own and waits. LIFELINE is the read end of a pipe whose write end only the parent holds: the
kernel closes it however the parent dies, SIGKILL included. At end of file the group gets SIGTERM
and, after GRACE seconds, SIGKILL; a byte on the pipe skips the grace. Shared-memory regions whose
name starts with SWEEP are then removed. The guard adopts what its descendants leave behind
(PR_SET_CHILD_SUBREAPER), so Triton's Python stubs cannot outlive Triton. Should the guard itself
be killed, the kernel kills the server (PR_SET_PDEATHSIG: it follows the thread that forked, and
the guard has only one; asked for in the parent, it would fire when some thread ended).

Standard library only, and no import of this project: it starts in a few milliseconds.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import sys
import time
from pathlib import Path

PR_SET_PDEATHSIG = 1  # linux/prctl.h
PR_SET_CHILD_SUBREAPER = 36
SHARED_MEMORY = Path("/dev/shm")  # where shm_open keeps its names on Linux
KILL_LIMIT_S = 10.0
_ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def main(argv: list[str]) -> int:
    """Guard one command; return its exit code, or 128 + the signal that ended it."""
    lifeline, report, grace_s, sweep = int(argv[0]), int(argv[1]), float(argv[2]), argv[3]
    wake = _wake_on_signals()
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    server = _spawn(argv[4:], report)
    code = _watch(lifeline, wake, server)
    if code is None:
        hurry = bool(select.select([lifeline], [], [], 0)[0] and os.read(lifeline, 1))
        code = _end(server, 0.0 if hurry else grace_s)
    else:
        _end(server, 0.0)
    if sweep:
        remove_shared_memory(sweep)
    return code


def remove_shared_memory(prefix: str) -> None:
    """Unlink every POSIX shared-memory region whose name starts with `prefix`."""
    for region in SHARED_MEMORY.glob(f"{prefix}*"):
        region.unlink(missing_ok=True)


def _wake_on_signals() -> int:
    """Turn SIGCHLD and the ending signals into bytes on a pipe; return its read end."""
    read, write = os.pipe()
    for end in (read, write):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    # A handler, not SIG_IGN: an ignored signal would stay ignored in the server after exec.
    for number in (signal.SIGCHLD, *_ENDING):
        signal.signal(number, lambda *_: None)
    return read


def _spawn(command: list[str], report: int) -> int:
    """Start `command` in its own group; write its pid, or why not, to `report` and close it."""
    guard = os.getpid()
    pid = os.fork()
    if pid == 0:
        try:
            os.set_inheritable(report, False)  # a successful exec closes it
            os.setpgid(0, 0)
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() == guard:  # else the guard died before prctl
                os.execvp(command[0], command)
        except OSError as error:
            os.write(report, f"!{error.strerror}".encode())
        finally:
            os._exit(127)
    os.write(report, f"{pid}\n".encode())
    os.close(report)
    return pid


def _watch(lifeline: int, wake: int, server: int) -> int | None:
    """Wait; return the server's exit code, or None when it has to be ended."""
    while True:
        ready, _, _ = select.select([lifeline, wake], [], [])
        if wake in ready:
            signals = os.read(wake, 4096)
            code = _reap(server)
            if code is not None:
                return code
            if any(number in signals for number in _ENDING):
                return None
        if lifeline in ready:
            return None


def _reap(server: int) -> int | None:
    """Collect the dead; return the server's exit code when it is among them."""
    found = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return found
        if pid == 0:
            return found
        if pid == server:
            code = os.waitstatus_to_exitcode(status)
            found = code if code >= 0 else 128 - code


def _end(server: int, grace_s: float) -> int:
    """SIGTERM to the group, SIGKILL after `grace_s`; wait until no descendant is left."""
    code = None
    start = time.monotonic()
    if grace_s > 0:
        _signal_group(server, signal.SIGTERM)
    while _has_children() and time.monotonic() - start < grace_s + KILL_LIMIT_S:
        if time.monotonic() - start >= grace_s:
            _signal_group(server, signal.SIGKILL)
            for pid in _children():  # a descendant that left the group
                _signal(pid, signal.SIGKILL)
        found = _reap(server)
        code = found if found is not None else code
        time.sleep(0.01)
    return 128 + signal.SIGTERM if code is None else code


def _has_children() -> bool:
    """True while there is a child, an adopted descendant or a zombie."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def _children() -> list[int]:
    """Children and adopted descendants; none where the kernel does not list them."""
    listed = Path("/proc/thread-self/children")
    return [int(pid) for pid in listed.read_text().split()] if listed.exists() else []


def _signal_group(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, number)


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
