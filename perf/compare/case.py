"""What a row of the comparison is made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias


class Prepared(NamedTuple):
    """One row, ready to be measured in this process; everything is compiled and warm.

    `ours` and `theirs`: one repetition of the same work, single-threaded, about 5 to 200 ms long.
    `work`: how much of the unit's numerator one repetition is (frames, or MB = 10^6 bytes).
    `equal`: whether both computed the same, by the row's own check, and a note that says how.
    """

    ours: Callable[[], object]
    theirs: Callable[[], object]
    work: float
    equal: Callable[[], tuple[bool, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A speed: measured on one core, then by one process on each of two cores at once.

    `name` is `<row>/<rival>`; `target` is the ratio ours / theirs to reach. `prepare` runs in the
    measuring process, which is pinned to its core: both sides get one thread. `bound` says what
    bounds the row where it falls short; it is shown only then. `missing` says why the row cannot be
    measured on this machine, and returns "" where it can.
    """

    name: str
    rival: str
    unit: str
    target: float
    prepare: Callable[[], Prepared]
    bound: str = ""
    missing: Callable[[], str] = str


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """Anything else, such as a size: `measure` returns ours, theirs, whether equal, and a note.

    The ratio is ours / theirs, or theirs / ours where `lower_is_better`. `bound` as in `Case`.
    """

    name: str
    rival: str
    unit: str
    target: float
    measure: Callable[[], tuple[float, float, bool, str]]
    lower_is_better: bool = False
    bound: str = ""


class NotMeasured(Exception):
    """A row cannot be measured on this machine, as turned out on the way; the text says why."""


class InTurn(NamedTuple):
    """What a load gave: the rates of ours and theirs, round by round, and whether both agree."""

    rounds: list[tuple[float, float]]
    equal: bool
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Sides that are whole stacks of processes, on all cores: one side works while the other idles.

    `measure` starts them, warms them, has them work in short alternating rounds, and ends them; it
    is given what tells a person how far it is, and may raise `NotMeasured`. The ratio as in
    `Figure`, `bound` and `missing` as in `Case`.
    """

    name: str
    rival: str
    unit: str
    target: float
    measure: Callable[[Callable[[str], None]], InTurn]
    lower_is_better: bool = False
    bound: str = ""
    missing: Callable[[], str] = str


Entry: TypeAlias = Case | Figure | Load
