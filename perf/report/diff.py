"""The command `python -m perf diff`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import msgspec

from perf.report.changes import LEAST, Change, Unlike, of_comparisons, of_runs
from perf.report.tables import warnings
from perf.report.words import about, number
from perf.run.record import RecordUnreadable, read

DESCRIPTION = """Say what got slower from A to B by more than the noise: two records of one
scenario (`python -m perf run --json`) or two comparisons (`python -m perf compare --json`).
Exit code 1 where something got slower, 2 where the two cannot be compared."""

SAME = ("cpu", "cores", "memory_gib", "system", "python", "packages")


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `diff` to the commands of `python -m perf`."""
    parser = commands.add_parser(
        "diff",
        help="what got slower between two runs, or two comparisons, beyond noise",
        description=DESCRIPTION,
        epilog="example: python -m perf diff before.json after.json",
    )
    parser.add_argument("a", type=Path, metavar="A.json", help="before")
    parser.add_argument("b", type=Path, metavar="B.json", help="after")
    percent = 100 * LEAST
    parser.add_argument(
        "--least",
        type=float,
        default=percent,
        metavar="PERCENT",
        help=f"changes below it are noise; default {percent:g}",
    )
    parser.add_argument("--json", action="store_true", help="one object on stdout, nothing else")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Compare; return the exit code."""
    if not 0 <= args.least < 100:
        print("perf diff: --least is a percentage, from 0 to below 100", file=sys.stderr)
        return 2
    try:
        changes, notes = _compared(args.a, args.b, args.least / 100)
    except (Unlike, RecordUnreadable, OSError) as error:
        print(f"perf diff: {error}", file=sys.stderr)
        return 2
    slower = [change.name for change in changes if change.word == "slower"]
    if args.json:
        report = {"a": str(args.a), "b": str(args.b), "least_percent": args.least}
        report |= {"slower": slower, "changes": changes, "notes": notes}
        print(msgspec.json.format(msgspec.json.encode(report), indent=2).decode())
    else:
        print(_as_text(changes, notes))
    return 1 if slower else 0


def _compared(a: Path, b: Path, least: float) -> tuple[list[Change], list[str]]:
    """Return the changes, and what a reader must know of the two files."""
    is_comparison = [_is_comparison(path) for path in (a, b)]
    if is_comparison[0] != is_comparison[1]:
        raise Unlike("one file is a run, the other a comparison")
    if is_comparison[0]:
        first, second = (json.loads(path.read_bytes()) for path in (a, b))
        notes = _notes(first["machine"], second["machine"])
        try:
            return list(of_comparisons(first, second, least)), notes
        except (KeyError, TypeError, ZeroDivisionError) as error:
            raise Unlike(f"{a} or {b} is no report of perf compare: {error!r}") from error
    one, other = read(a), read(b)
    notes = _notes(one.machine, other.machine)
    if one.broker != other.broker:
        notes.append(f"not the same broker: {one.broker} and {other.broker}")
    for name, record in (("A", one), ("B", other)):
        notes += [f"{name}: {text}" for text in warnings(record)]
    return list(of_runs(one, other, least)), notes


def _is_comparison(path: Path) -> bool:
    try:
        found = json.loads(path.read_bytes())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise RecordUnreadable(f"{path}: {error}") from None
    return isinstance(found, dict) and {"rows", "machine"} <= found.keys()


def _notes(a: dict[str, Any], b: dict[str, Any]) -> list[str]:
    return [
        f"not the same {key.replace('_', ' ')}: {about(a.get(key))} and {about(b.get(key))}"
        for key in SAME
        if a.get(key) != b.get(key)
    ]


def _as_text(changes: list[Change], notes: list[str]) -> str:
    """Return a line a change, the slower ones first, and a last line that sums up."""
    order = ("slower", "faster", "not judged", "within noise")
    ordered = sorted(changes, key=lambda change: order.index(change.word))
    lines = [f"note: {note}" for note in notes]
    lines += [_line(change) for change in ordered]
    counts = {word: sum(change.word == word for change in changes) for word in order}
    return "\n".join([*lines, ", ".join(f"{count} {word}" for word, count in counts.items())])


def _line(change: Change) -> str:
    sides = [
        _side(value, span) for value, span in zip((change.a, change.b), change.ranges, strict=True)
    ]
    return (
        f"{change.word:12}  {change.name}: {sides[0]} -> {sides[1]} {change.unit}  ({change.why})"
    )


def _side(value: float | None, span: tuple[float, float | None] | None) -> str:
    if span is None:
        return number(value)
    high = "?" if span[1] is None else number(span[1])
    return f"{number(value)} [{number(span[0])} to {high}]"
