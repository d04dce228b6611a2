"""What several tests use to watch processes and wait for them."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from engine.local.triton import PREFIX

SHARED_MEMORY = Path("/dev/shm")
CHECKOUT = Path(__file__).resolve().parents[1]


def until(condition: Callable[[], bool], limit_s: float = 20.0) -> None:
    """Wait for a condition; fail after `limit_s`."""
    end = time.monotonic() + limit_s
    tick = threading.Event()
    while not condition():
        assert time.monotonic() < end, "the condition did not come true"
        tick.wait(0.01)


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
