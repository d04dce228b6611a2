"""Measure rows: both sides in turn, round after round, so that the machine's noise hits both."""

from __future__ import annotations

import multiprocessing
import os
import statistics
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

import msgspec

from perf.compare.case import Entry, Figure, InTurn, Load, NotMeasured
from perf.compare.worker import ONE_THREAD, Failed, Ready, Spent, serve

PREPARE_TIMEOUT_S = 300.0

Progress = Callable[[str], None]


class MeasuringFailed(Exception):
    """A row's own code failed; the text has its traceback."""


class OnCores(msgspec.Struct, frozen=True):
    """The medians over the rounds on `cores` cores, and the spread of the rounds' ratios."""

    cores: int
    ours: float
    theirs: float
    ratio: float
    ratio_min: float
    ratio_max: float


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the report. The figures at the top are those of one core, a load's of all.

    `ratio` is ours / theirs, turned around where lower is better; `met` asks for `target` on
    every number of cores, and for `equal`.
    """

    name: str
    ours: float
    theirs: float
    rival: str
    unit: str
    ratio: float
    target: float
    equal: bool
    met: bool
    note: str
    on_cores: list[OnCores] = []


def measure(entry: Entry, *, rounds: int, seconds: float, progress: Progress) -> Row:
    """Measure one row; raise `MeasuringFailed` when its code raises.

    Each of `rounds` gives each side `seconds`, in alternating order.
    """
    if isinstance(entry, Figure):
        return _figure(entry)
    if isinstance(entry, Load):
        return _load(entry, progress)
    cores = sorted(os.sched_getaffinity(0))[:2]
    found: list[OnCores] = []
    for count in range(1, len(cores) + 1):
        with _processes(entry.name, cores[:count]) as (connections, ready):
            pairs = [
                _round(connections, ready.work, number, seconds, progress)
                for number in range(rounds)
            ]
            progress(f"{count} core{'s' if count > 1 else ''} done")
        found.append(_summed(count, pairs))
    met = ready.equal and all(one.ratio >= entry.target for one in found)
    return Row(
        name=entry.name,
        ours=found[0].ours,
        theirs=found[0].theirs,
        rival=entry.rival,
        unit=entry.unit,
        ratio=found[0].ratio,
        target=entry.target,
        equal=ready.equal,
        met=met,
        note=_note(ready.note, met, entry.bound),
        on_cores=found,
    )


def _figure(entry: Figure) -> Row:
    ours, theirs, equal, note = entry.measure()
    ratio = theirs / ours if entry.lower_is_better else ours / theirs
    met = equal and ratio >= entry.target
    return Row(
        name=entry.name,
        ours=ours,
        theirs=theirs,
        rival=entry.rival,
        unit=entry.unit,
        ratio=ratio,
        target=entry.target,
        equal=equal,
        met=met,
        note=_note(note, met, entry.bound),
    )


def _load(entry: Load, progress: Progress) -> Row:
    try:
        found: InTurn = entry.measure(progress)
    except NotMeasured:
        raise
    except Exception as error:  # a stack that did not start, a frame that was lost
        raise MeasuringFailed(traceback.format_exc()) from error
    summed = _summed(len(os.sched_getaffinity(0)), found.rounds, inverse=entry.lower_is_better)
    met = found.equal and summed.ratio >= entry.target
    return Row(
        name=entry.name,
        ours=summed.ours,
        theirs=summed.theirs,
        rival=entry.rival,
        unit=entry.unit,
        ratio=summed.ratio,
        target=entry.target,
        equal=found.equal,
        met=met,
        note=_note(found.note, met, entry.bound),
        on_cores=[summed],
    )


def _note(note: str, met: bool, bound: str) -> str:
    """Return the note, with what bounds a row that falls short."""
    return "; what bounds it: ".join(part for part in (note, "" if met else bound) if part)


def _summed(cores: int, pairs: list[tuple[float, float]], *, inverse: bool = False) -> OnCores:
    ratios = [theirs / ours if inverse else ours / theirs for ours, theirs in pairs]
    return OnCores(
        cores,
        statistics.median(ours for ours, _ in pairs),
        statistics.median(theirs for _, theirs in pairs),
        statistics.median(ratios),
        min(ratios),
        max(ratios),
    )


def _round(
    connections: list[Connection], work: float, number: int, seconds: float, progress: Progress
) -> tuple[float, float]:
    """Return the rates of ours and theirs, summed over the processes."""
    progress(f"round {number + 1}")
    sides = ("ours", "theirs") if number % 2 == 0 else ("theirs", "ours")
    rates: dict[str, float] = {}
    for side in sides:
        for connection in connections:
            connection.send((side, seconds))
        spent = [_answer(connection, Spent, 20 * seconds + 60) for connection in connections]
        rates[side] = sum(work * one.repetitions / one.seconds for one in spent)
    return rates["ours"], rates["theirs"]


@contextmanager
def _processes(name: str, cores: list[int]) -> Iterator[tuple[list[Connection], Ready]]:
    """Run one prepared process on each core; all are warm before the first round begins."""
    context = multiprocessing.get_context("spawn")  # a fork would share our state and our cores
    before = {name: os.environ.get(name) for name in ONE_THREAD}
    os.environ.update(ONE_THREAD)
    connections: list[Connection] = []
    children = []
    try:
        for core in cores:
            here, there = context.Pipe()
            child = context.Process(target=serve, args=(there, name, core), daemon=True)
            child.start()
            there.close()
            children.append(child)
            connections.append(here)
        ready = [_answer(connection, Ready, PREPARE_TIMEOUT_S) for connection in connections]
        yield connections, ready[0]
        for connection in connections:
            connection.send(None)
    finally:
        for child in children:
            child.join(5)
            if child.is_alive():
                child.kill()
                child.join()
        _put_back(before)  # the stacks of later rows are our children too, and have all cores


def _put_back(before: dict[str, str | None]) -> None:
    """Set the environment to what it was."""
    for name, value in before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _answer(connection: Connection, kind: type[Any], timeout_s: float) -> Any:
    if not connection.poll(timeout_s):
        raise MeasuringFailed(f"the measuring process gave no answer in {timeout_s:.0f} s")
    try:
        answer = connection.recv()
    except EOFError:
        raise MeasuringFailed("the measuring process ended without an answer") from None
    if isinstance(answer, Failed):
        raise MeasuringFailed(answer.text)
    if not isinstance(answer, kind):
        raise MeasuringFailed(f"the measuring process answered {type(answer).__name__}")
    return answer
