"""System shared memory between this process and Triton: a ring of slots, one request in each.

A slot is written by us, then by the server, then read by us. After a request that got no answer
the server may still write to its slot, so the slot is set aside until the answer comes after all,
or until the server has restarted.
"""

from __future__ import annotations

import itertools
import os
import re
import secrets
from collections.abc import Collection
from pathlib import Path

import numpy as np
from tritonclient.utils import shared_memory

FOLDER = Path("/dev/shm")
PREFIX = "scanstream"
ASIDE_FACTOR = 4
_OURS = re.compile(rf"{PREFIX}-(\d+)-(\d+)-[0-9a-f]+-\d+")


class Slot:
    """One region: room for `max_batch` images, then for as many masks, of `shape` in uint8."""

    def __init__(self, name: str, max_batch: int, shape: tuple[int, int]) -> None:
        self.name = name
        self.offset = max_batch * shape[0] * shape[1]  # bytes, where the masks begin
        self.size = 2 * self.offset
        self.session = 0  # the connection that registered it; 0 before the first
        self._region = shared_memory.create_shared_memory_region(
            name, name, self.size, create_only=True
        )
        try:
            _allocate(name, self.size)
            whole = shared_memory.get_contents_as_numpy(
                self._region, np.uint8, [2, max_batch, *shape]
            )
        except BaseException:
            shared_memory.destroy_shared_memory_region(self._region)
            raise
        self.images: np.ndarray = whole[0]
        self.masks: np.ndarray = whole[1]

    @property
    def key(self) -> str:
        """The name to hand to `shm_open`."""
        return f"/{self.name}"

    def destroy(self) -> None:
        """Unmap and unlink the region. No view of it may be left."""
        del self.images, self.masks
        shared_memory.destroy_shared_memory_region(self._region)


class Slots:
    """Makes slots as they are needed, at most `count` in use and a few times that set aside."""

    def __init__(self, count: int, max_batch: int, shape: tuple[int, int]) -> None:
        self._count = count
        self._make = (max_batch, shape)
        # The namespace tells containers apart that share /dev/shm and not their process ids.
        self._prefix = f"{PREFIX}-{_namespace()}-{os.getpid()}-{secrets.token_hex(4)}"
        self._numbers = itertools.count()
        self._free: list[Slot] = []
        self._aside: dict[str, Slot] = {}

    @property
    def aside(self) -> int:
        """How many slots the server may still write to."""
        return len(self._aside)

    @property
    def free(self) -> tuple[Slot, ...]:
        """The slots that the server has done with."""
        return tuple(self._free)

    def take(self) -> Slot | None:
        """Return a free slot; None where too many are set aside: do without shared memory.

        Raises `OSError` or `SharedMemoryException` where there is no room for another one.
        """
        if self._free:
            return self._free.pop()
        if len(self._aside) >= ASIDE_FACTOR * self._count:
            return None
        return Slot(f"{self._prefix}-{next(self._numbers)}", *self._make)

    def release(self, slot: Slot) -> None:
        """Take back a slot that the server has done with."""
        self._free.append(slot)

    def set_aside(self, slot: Slot) -> None:
        """Keep a slot that the server may still write to."""
        self._aside[slot.name] = slot

    def settle(self, slot: Slot) -> None:
        """Take back a slot set aside: the server has answered after all."""
        if self._aside.pop(slot.name, None) is not None:
            self._free.append(slot)

    def forget(self, known: Collection[str]) -> None:
        """Destroy the slots set aside whose regions the server does not know: it has restarted."""
        for name in [name for name in self._aside if name not in known]:
            self._aside.pop(name).destroy()

    def close(self) -> None:
        """Destroy all slots. A server that still writes to one keeps its own mapping."""
        for slot in (*self._free, *self._aside.values()):
            slot.destroy()
        self._free.clear()
        self._aside.clear()


def sweep() -> int:
    """Remove the regions of dead processes with our prefix; return how many there were."""
    removed = 0
    for path in FOLDER.glob(f"{PREFIX}-*"):
        match = _OURS.fullmatch(path.name)
        if match and int(match[1]) == _namespace() and not Path(f"/proc/{match[2]}").exists():
            path.unlink(missing_ok=True)
            removed += 1
    return removed


def _namespace() -> int:
    return Path("/proc/self/ns/pid").stat().st_ino


def _allocate(name: str, size: int) -> None:
    """Claim the region's pages now: where /dev/shm is full, a later write would be a SIGBUS."""
    with (FOLDER / name).open("r+b") as file:
        os.posix_fallocate(file.fileno(), 0, size)
