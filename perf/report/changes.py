"""What got slower between two runs, or two comparisons, by more than their noise."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import msgspec

from perf.report.noise import Interval, interval, shown
from perf.run.record import RunRecord

LEAST = 0.05  # a change below this is nobody's business, however sure it is
SEARCHES = 1 / 7  # two searches for the highest rate of the same thing differ by as much
SAME_RATE = 0.02  # latencies are compared at the same rate only
PERCENTILES = (50.0, 90.0, 99.0, 99.9)

Word = Literal["slower", "faster", "within noise", "not judged"]
Range = tuple[float, float | None]


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One figure in A and in B. `ranges` is where each lies, None where nothing says so.

    A range without an upper end is None there. `word` judges B against A; `why` says how.
    """

    name: str
    unit: str
    a: float | None
    b: float | None
    ranges: tuple[Range | None, Range | None] = (None, None)
    word: Word
    why: str = ""


class Unlike(ValueError):
    """Two files that cannot be compared; the text says why."""


def of_runs(a: RunRecord, b: RunRecord, least: float = LEAST) -> Iterator[Change]:
    """Yield the changes of one scenario: lost frames, rate, percentiles, and what has no noise.

    Raises `Unlike` where the two are of different scenarios.
    """
    if a.scenario != b.scenario:
        raise Unlike(f"A is a run of {a.scenario!r}, B of {b.scenario!r}")
    yield _lost(a, b)
    if a.points and b.points:
        yield _searched(a, b, least)
    same = abs(b.rate_hz / a.rate_hz - 1) <= SAME_RATE if a.rate_hz > 0 else a.rate_hz == b.rate_hz
    for percent in PERCENTILES:
        yield _percentile(a, b, percent, least, same_rate=same)
    yield from _unjudged(a, b)


def of_comparisons(a: dict[str, Any], b: dict[str, Any], least: float = LEAST) -> Iterator[Change]:
    """Yield the changes of the ratios of `perf compare`, row by row and core count by core count.

    A row that one file lacks is not judged. The row `null/itself` has the same work on both sides:
    as far as its ratio moved, every other may move.
    """
    rows = [{row["name"]: row for row in one["rows"]} for one in (a, b)]
    moved = {name: _moved(rows, name) for name in _names(rows[0].get("null/itself"))}
    for name in [*rows[0], *(name for name in rows[1] if name not in rows[0])]:
        ours, theirs = (one.get(name) for one in rows)
        if ours is None or theirs is None:
            yield _absent(name, (a, b), (ours, theirs))
        else:
            yield from _row(ours, theirs, least, moved)


def _absent(
    name: str, files: tuple[dict[str, Any], ...], rows: tuple[dict[str, Any] | None, ...]
) -> Change:
    """Return a row that one of two files lacks, with the reason that the file gives."""
    place = rows.index(None)
    reason = files[place].get("not_measured", {}).get(name, "no such row")
    why = f"not in {'AB'[place]}: {reason}"
    values = [None if row is None else row["ratio"] for row in rows]
    return Change(name=name, unit="x", a=values[0], b=values[1], word="not judged", why=why)


def _lost(a: RunRecord, b: RunRecord) -> Change:
    gone = [one.lost + one.statuses.get("dead-letter", 0) for one in (a, b)]
    share = [n / max(one.sent, 1) for n, one in zip(gone, (a, b), strict=True)]
    word: Word = "within noise"
    if not gone[0] and gone[1]:  # the promise is that none is
        word = "slower"
    elif gone[0] and share[1] != share[0]:
        word = "faster" if share[1] < share[0] else "slower"
    why = "a lost frame is a frame that never came"
    name = "frames lost or dead-lettered"
    return Change(name=name, unit="frames", a=gone[0], b=gone[1], word=word, why=why)


def _searched(a: RunRecord, b: RunRecord, least: float) -> Change:
    """Judge the rates that were found; the last run of a search confirms it, or none held."""
    room = max(least, SEARCHES)
    held = [one.points[-1].held for one in (a, b)]
    word: Word = "slower" if held[0] else "faster" if held[1] else "not judged"
    why = f"no rate held in {' and '.join(n for n, ok in zip('AB', held, strict=True) if not ok)}"
    if all(held):
        ratio = b.rate_hz / a.rate_hz if a.rate_hz > 0 else 1.0
        faster: Word = "faster" if ratio > 1 + room else "within noise"
        word = "slower" if ratio < 1 - room else faster
        why = f"two searches of the same thing differ by up to {100 * room:.0f} %"
    rates = [one.rate_hz if ok else None for one, ok in zip((a, b), held, strict=True)]
    return Change(name="highest rate", unit="/s", a=rates[0], b=rates[1], word=word, why=why)


def _percentile(
    a: RunRecord, b: RunRecord, percent: float, least: float, *, same_rate: bool
) -> Change:
    found = [interval(one, percent) for one in (a, b)]
    values = [None if one is None else one.value for one in found]
    ranges = tuple(None if one is None else (one.low, one.high) for one in found)
    name = f"latency p{percent:g}"
    word: Word = "not judged"
    why = "no histogram"
    first, second = found
    if not same_rate:
        why = "the rates differ"
    elif percent not in shown(min(a.answered, b.answered)):
        why = "fewer than ten frames were slower"
    elif first is not None and second is not None:
        word, why = _apart(first, second, least)
    return Change(
        name=name, unit="ms", a=values[0], b=values[1], ranges=(ranges[0], ranges[1]),
        word=word, why=why,
    )  # fmt: skip


def _apart(a: Interval, b: Interval, least: float) -> tuple[Word, str]:
    """Judge two percentiles: intervals that do not meet, and a change of at least `least`."""
    if b.value >= a.value * (1 + least) and a.high is not None and b.low > a.high:
        return "slower", f"{100 * (b.value / a.value - 1):+.0f} %, and the intervals do not meet"
    if a.value >= b.value * (1 + least) and b.high is not None and a.low > b.high:
        return "faster", f"{100 * (b.value / a.value - 1):+.0f} %, and the intervals do not meet"
    if a.high is None and b.high is None:
        return "not judged", "too few independent slow frames to bound it from above"
    return "within noise", "the intervals meet, or the change is small"


def _unjudged(a: RunRecord, b: RunRecord) -> Iterator[Change]:
    """Yield what tells where a change comes from; one run shows no noise of these."""
    stages = [{key: one.mean for key, one in run.stages_ms.items()} for run in (a, b)]
    lanes = [{key: one.p99 for key, one in run.lanes.items()} for run in (a, b)]
    pairs = [
        ("stage {}, mean", stages[0], stages[1]),
        ("processor time of {} a frame", a.cpu_ms, b.cpu_ms),
        ("lane {}, p99", lanes[0], lanes[1]),
    ]
    for name, first, second in pairs:
        for key in [*first, *(key for key in second if key not in first)]:
            yield Change(
                name=name.format(key), unit="ms", a=first.get(key), b=second.get(key),
                word="not judged", why="one run says nothing of its noise",
            )  # fmt: skip


def _row(
    a: dict[str, Any], b: dict[str, Any], least: float, moved: dict[int, float]
) -> Iterator[Change]:
    cores = [{one["cores"]: one for one in row["on_cores"]} for row in (a, b)]
    if a["equal"] and not b["equal"]:
        why = "the two sides no longer compute the same"
        yield Change(name=a["name"], unit="x", a=a["ratio"], b=b["ratio"], word="slower", why=why)
    if not cores[0] or not cores[1]:
        word, why = _ratios(a["ratio"], b["ratio"], least)
        yield Change(name=a["name"], unit="x", a=a["ratio"], b=b["ratio"], word=word, why=why)
    for count in sorted(cores[0].keys() & cores[1].keys()):
        yield _on_cores(
            a["name"], cores[0][count], cores[1][count], max(least, moved.get(count, 0))
        )


def _on_cores(name: str, a: dict[str, Any], b: dict[str, Any], least: float) -> Change:
    spans = [(one["ratio_min"], one["ratio_max"]) for one in (a, b)]
    word, why = _ratios(a["ratio"], b["ratio"], least)
    if word != "within noise" and spans[0][0] <= spans[1][1] and spans[1][0] <= spans[0][1]:
        word, why = "within noise", "the rounds' ranges meet"
    count = a["cores"]
    return Change(
        name=f"{name}, {count} core{'' if count == 1 else 's'}", unit="x",
        a=a["ratio"], b=b["ratio"], ranges=(spans[0], spans[1]), word=word, why=why,
    )  # fmt: skip


def _ratios(a: float, b: float, least: float) -> tuple[Word, str]:
    """Judge a ratio to the rival, of which more is better."""
    why = f"{100 * (b / a - 1):+.0f} %, where {100 * least:.0f} % is noise"
    if b < a * (1 - least):
        return "slower", why
    return ("faster", why) if b > a * (1 + least) else ("within noise", why)


def _names(row: dict[str, Any] | None) -> list[int]:
    return [one["cores"] for one in row["on_cores"]] if row else []


def _moved(rows: list[dict[str, Any]], count: int) -> float:
    """Return how far apart the two null rows are on so many cores, as a share."""
    found = [
        one["ratio"]
        for row in rows
        for one in row.get("null/itself", {}).get("on_cores", [])
        if one["cores"] == count
    ]
    return abs(found[1] / found[0] - 1) if len(found) == len(rows) else 0.0
