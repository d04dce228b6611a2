"""The measuring process: pinned to one core, it repeats one side of a row for as long as told."""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import NamedTuple

from perf.compare.case import Case
from perf.compare.registry import entries

# What libraries read at import: one thread each, since the process has one core.
_THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "BLOSC_NTHREADS",
)
ONE_THREAD = dict.fromkeys(_THREADS, "1")


class Ready(NamedTuple):
    """What the process found while preparing the row."""

    work: float
    equal: bool
    note: str


class Spent(NamedTuple):
    """Repetitions of one side and the seconds, by the wall's clock, that they took."""

    repetitions: int
    seconds: float


class Failed(NamedTuple):
    """The process could not go on; `text` is its traceback."""

    text: str


def serve(connection: Connection, name: str, core: int) -> None:
    """Prepare row `name`, then answer ("ours" | "theirs", seconds) until None comes."""
    os.sched_setaffinity(0, {core})
    try:
        (case,) = entries([name])
        if not isinstance(case, Case):
            raise TypeError(f"{name} is not a speed")
        prepared = case.prepare()
        equal, note = prepared.equal()
        connection.send(Ready(prepared.work, equal, note))
        while (order := connection.recv()) is not None:
            side, seconds = order
            work = prepared.ours if side == "ours" else prepared.theirs
            connection.send(_repeat(work, seconds))
    except Exception:  # whatever a row raises is told to the parent, which ends the run with it
        connection.send(Failed(traceback.format_exc()))


def _repeat(work: Callable[[], object], seconds: float) -> Spent:
    start = time.perf_counter()
    repetitions = 0
    while True:
        work()
        repetitions += 1
        spent = time.perf_counter() - start
        if spent >= seconds:
            return Spent(repetitions, spent)
