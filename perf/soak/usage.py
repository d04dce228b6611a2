"""What process trees hold: memory, file handles, threads, shared memory (Linux, /proc)."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable
from pathlib import Path
from statistics import median

import msgspec

from engine.infer.slots import FOLDER, PREFIX
from perf.load.processor import trees

MIB = 1 << 20
GROWTH = 0.02  # of memory, and `ROOM_MIB` on top: caches and allocators settle slowly
ROOM_MIB = 8.0
# A worker's regions and those of Triton's Python backend: both name a process.
_MAKER = re.compile(rf"{PREFIX}(?:-\d+-|_stub_)(\d+)")
FEW = 2  # file handles or threads: a connection that is just being made


class Usage(msgspec.Struct, frozen=True):
    """Of one server with its descendants. `memory_mib` is its own, anonymous memory."""

    memory_mib: float
    files: int
    threads: int


GONE = Usage(0.0, 0, 0)


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """One stretch of the run. `at_s` is its end, from the start; `shared_mib` is in /dev/shm."""

    at_s: float
    sent: int
    answered: int
    p50_ms: float
    p99_ms: float
    shared_mib: float
    servers: dict[str, Usage]


def usage(pid: int) -> Usage:
    """Return what this process and its living descendants hold."""
    memory, files, threads = 0, 0, 0
    for each in trees([pid]):
        try:
            status = dict(
                line.split(":", 1) for line in Path(f"/proc/{each}/status").read_text().splitlines()
            )
            files += sum(1 for _ in Path(f"/proc/{each}/fd").iterdir())
        except OSError:
            continue  # it has ended since it was listed
        memory += int(status.get("RssAnon", "0 kB").split()[0]) << 10
        threads += int(status["Threads"])
    return Usage(round(memory / MIB, 2), files, threads)


def shared_mib(pids: Iterable[int]) -> float:
    """Return how much shared memory lies under our prefix, but that of living others.

    `pids` are the roots of what is watched. A region's name holds the process that made it; one
    that a dead process has left behind counts, one of another stack on this machine does not.
    """
    ours, sizes = set(trees(pids)), 0
    for path in FOLDER.glob(f"{PREFIX}*"):
        try:
            if not _others(path.name, ours):
                sizes += path.stat().st_size
        except OSError:
            continue
    return round(sizes / MIB, 2)


def _others(name: str, ours: Container[int]) -> bool:
    made = _MAKER.match(name)
    if made is None:
        return False
    return int(made[1]) not in ours and Path(f"/proc/{made[1]}/stat").exists()


def grown(windows: list[Window], *, exempt: Iterable[str] = ()) -> list[str]:
    """Return what has grown from the second fifth of the run to its last, in words.

    Servers in `exempt` may keep what they are sent. The first fifth is warm-up. Five windows at
    least.
    """
    if len(windows) < 5:
        raise ValueError(f"{len(windows)} windows: five at least show a trend")
    fifth = len(windows) // 5
    early, late = windows[fifth : 2 * fifth], windows[-fifth:]
    found = []
    names = set(early[0].servers) - set(exempt)
    gone = sorted(
        {name for one in windows for name in names if not one.servers.get(name, GONE).threads}
    )
    found += [f"{name}: has ended" for name in gone]
    for name in sorted(names - set(gone)):
        for field in Usage.__struct_fields__:
            before, after = (
                median(getattr(one.servers[name], field) for one in part) for part in (early, late)
            )
            limit = before * (1 + GROWTH) + ROOM_MIB if field == "memory_mib" else before + FEW
            if after > limit:
                found.append(f"{name}: {field} from {before:g} to {after:g}")
    before, after = (median(one.shared_mib for one in part) for part in (early, late))
    if after > before:
        found.append(f"shared memory from {before:g} to {after:g} MiB")
    return found
