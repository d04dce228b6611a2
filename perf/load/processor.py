"""Process trees and their processor time, read from /proc (Linux)."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def processor_seconds(pids: Iterable[int]) -> float:
    """Return the user and system time of these processes and of all their living descendants.

    A descendant that has ended is counted with its parent once that has waited for it.
    """
    listed = _processes()
    return sum(listed[pid][1] for pid in _trees(pids, listed))


def trees(pids: Iterable[int]) -> set[int]:
    """Return these processes and all their living descendants."""
    return _trees(pids, _processes())


def _processes() -> dict[int, tuple[int, float]]:
    """Return the parent and the processor seconds of every process."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = stat.read_text()
        except OSError:
            continue  # it has ended since the folder was listed
        fields = text.rpartition(")")[2].split()  # the name may hold spaces and brackets
        seconds = sum(map(int, fields[11:15])) * _TICK_S  # utime stime cutime cstime
        found[int(stat.parent.name)] = int(fields[1]), seconds
    return found


def _trees(pids: Iterable[int], listed: dict[int, tuple[int, float]]) -> set[int]:
    children: dict[int, list[int]] = {}
    for pid, (parent, _) in listed.items():
        children.setdefault(parent, []).append(pid)
    waiting, seen = [pid for pid in pids if pid in listed], set[int]()
    while waiting:
        pid = waiting.pop()
        if pid not in seen:
            seen.add(pid)
            waiting += children.get(pid, [])
    return seen
