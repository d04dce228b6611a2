"""The plain loop in a process for each core: what a user would write next.

Each process holds all objects in memory and runs ONNX Runtime on one thread; frames are handed out
as they come free, and masks come back through the pool's pipes.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from pydicom.dataset import Dataset

from perf.baselines.plain_loop import Found, PlainLoop

AHEAD = 2  # frames with each process: one computed, one waiting

_LOOP: list[tuple[PlainLoop, Sequence[Dataset]]] = []


class PlainPool:
    """Segments the objects over and over, in `processes` processes."""

    def __init__(self, pool: ProcessPoolExecutor, processes: int, objects: int) -> None:
        self._pool = pool
        self._ahead = AHEAD * processes
        self._objects = objects
        self._numbers = count()
        self._waiting: set[Future[Found]] = set()

    def next(self) -> int:
        """Wait for frames to be done; return how many, and hand out as many more."""
        while len(self._waiting) < self._ahead:
            place = next(self._numbers) % self._objects
            self._waiting.add(self._pool.submit(_segment, place))
        done, self._waiting = wait(self._waiting, return_when=FIRST_COMPLETED)
        for one in done:
            one.result()
        return len(done)

    def pause(self) -> None:
        """Finish what was handed out: another side has the cores next."""
        for one in self._waiting:
            one.result()
        self._waiting = set()


@contextmanager
def plain_pool(model: Path, objects: Sequence[Dataset], *, processes: int) -> Iterator[PlainPool]:
    """Start the processes, with the model and the objects in each of them."""
    with ProcessPoolExecutor(
        processes,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_prepare,
        initargs=(model, objects),
    ) as pool:
        yield PlainPool(pool, processes, len(objects))


def _prepare(model: Path, objects: Sequence[Dataset]) -> None:
    _LOOP.append((PlainLoop(model, threads=1), objects))


def _segment(place: int) -> Found:
    loop, objects = _LOOP[0]
    return loop(objects[place])
