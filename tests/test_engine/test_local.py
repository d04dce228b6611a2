"""The embedded servers: they start, come back on the same port, and never outlive their parent."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from watching import CHECKOUT, SHARED_MEMORY, descendants, exists, until

from engine.errors import LocalStackError
from engine.local.processes import Child, reserve_port, wait_ready


def child(tmp_path: Path, script: str, **options: object) -> Child:
    argv = [sys.executable, "-c", textwrap.dedent(script)]
    return Child("tested", argv, log=tmp_path / "tested.log", **options)  # type: ignore[arg-type]


def test_child_ends_on_sigterm(tmp_path: Path) -> None:
    tested = child(
        tmp_path,
        """
        import signal, sys
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
        print("set", flush=True)
        signal.pause()
        """,
    )
    tested.start()
    until(lambda: "set" in tested.tail())
    tested.stop()
    assert not tested.alive
    assert tested.exit_code == 7


def test_child_that_ignores_sigterm_is_killed_with_its_children(tmp_path: Path) -> None:
    tested = child(
        tmp_path,
        """
        import os, signal
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if os.fork() == 0:
            os.setsid()  # it leaves the group, too
        print("set", flush=True)
        signal.pause()
        """,
        grace_s=0.2,
    )
    tested.start()
    until(lambda: tested.tail().count("set") == 2)
    assert tested.pid is not None
    pids = [tested.pid, *descendants(tested.pid)]
    assert len(pids) == 2
    tested.stop()
    assert not any(map(exists, pids))


def test_child_that_ends_takes_its_children_along(tmp_path: Path) -> None:
    tested = child(
        tmp_path,
        """
        import os, signal, sys
        pid = os.fork()
        if pid == 0:
            signal.pause()
        print("child", pid, flush=True)
        sys.exit(3)
        """,
    )
    tested.start()
    until(lambda: not tested.alive)
    assert tested.exit_code == 3
    assert not exists(int(tested.tail().split()[1]))


def test_child_says_what_cannot_be_run(tmp_path: Path) -> None:
    absent = Child("tested", ["/nonexistent/server"], log=tmp_path / "log")
    with pytest.raises(LocalStackError, match="cannot run /nonexistent/server: No such file"):
        absent.start()
    assert not absent.alive


def test_wait_ready_shows_the_end_of_the_log(tmp_path: Path) -> None:
    tested = child(tmp_path, "print('what went wrong'); raise SystemExit(5)")
    tested.start()
    with pytest.raises(LocalStackError, match=r"(?s)code 5 .*what went wrong"):
        wait_ready(tested, lambda: False, 20.0)
    tested.stop()


def test_wait_ready_has_a_deadline(tmp_path: Path) -> None:
    tested = child(tmp_path, "import signal; signal.pause()")
    tested.start()
    with pytest.raises(LocalStackError, match="not ready after"):
        wait_ready(tested, lambda: False, 0.05)
    tested.stop()


@pytest.mark.parametrize("victim", ["parent", "guard"])
def test_nothing_is_left_when_one_is_killed(tmp_path: Path, victim: str) -> None:
    script = f"""
        import sys, time
        from pathlib import Path
        from engine.local.processes import Child
        folder = Path({str(tmp_path)!r})
        sleeper = [sys.executable, "-c", "import signal; signal.pause()"]
        sweep = "scanstream_test_{os.getpid()}_"
        child = Child("sleeper", sleeper, log=folder / "log", sweep=sweep)
        child.start()
        print(child._guard.pid, child.pid, flush=True)
        time.sleep(600)
    """
    region = SHARED_MEMORY / f"scanstream_test_{os.getpid()}_x"
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        stdout=subprocess.PIPE,
        cwd=CHECKOUT,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        guard, server = map(int, parent.stdout.readline().split())
        region.write_bytes(b"left behind")
        os.kill(parent.pid if victim == "parent" else guard, signal.SIGKILL)
        until(lambda: not exists(server) and not exists(guard))
        parent.kill()
    if victim == "parent":
        until(lambda: not region.exists())
    region.unlink(missing_ok=True)


def test_ports_are_below_the_ephemeral_range() -> None:
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    with reserve_port("tested") as held:
        assert held.getsockname()[1] < lowest


def test_a_reserved_port_is_nobody_elses() -> None:
    with (
        reserve_port("tested") as held,
        socket.socket() as other,
        pytest.raises(OSError, match="in use"),
    ):
        other.bind(held.getsockname())
