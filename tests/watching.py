"""What several tests use to watch processes and wait for them."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from engine.local.triton import PREFIX

T = TypeVar("T")

SHARED_MEMORY = Path("/dev/shm")
CHECKOUT = Path(__file__).resolve().parents[1]


def until(condition: Callable[[], bool], limit_s: float = 20.0) -> None:
    """Wait for a condition; fail after `limit_s`."""
    end = time.monotonic() + limit_s
    tick = threading.Event()
    while not condition():
        assert time.monotonic() < end, "the condition did not come true"
        tick.wait(0.01)


async def first_answer(
    call: Callable[[], Awaitable[T]], *, unless: type[Exception], limit_s: float = 20.0
) -> T:
    """Call until it does not raise `unless`, as a worker does; fail after `limit_s`.

    The one place where asynchronous tests poll: a server that comes back tells nobody.
    """
    async with asyncio.timeout(limit_s):
        while True:
            try:
                return await call()
            except unless:
                await asyncio.sleep(0.05)


@contextmanager
def little_memory(limit_bytes: int) -> Iterator[None]:
    """Fail when the block takes `limit_bytes` of memory over what this process has at its start.

    The kernel's peak of resident memory, reset before (proc(5), clear_refs): that of `getrusage`
    spans the life of the process, and says nothing after an earlier, higher peak.
    """
    Path("/proc/self/clear_refs").write_text("5")
    rest = _peak_bytes()
    yield
    taken = _peak_bytes() - rest
    assert taken < limit_bytes, f"{taken} bytes of memory over rest"


def _peak_bytes() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


def exists(pid: int) -> bool:
    """True while `pid` runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def descendants(pid: int) -> list[int]:
    """All processes below `pid`."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            found += [int(child), *descendants(int(child))]
    return found


def regions(pid: int | None = None) -> list[str]:
    """Shared-memory regions of the Triton stubs that `pid`, by default this process, started."""
    return [path.name for path in SHARED_MEMORY.glob(f"{PREFIX}{pid or os.getpid()}_*")]
