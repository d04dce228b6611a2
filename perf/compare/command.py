"""The command `python -m perf compare`."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

import msgspec

from perf.compare.case import Entry, Figure, NotMeasured
from perf.compare.machine import commit, machine
from perf.compare.measure import MeasuringFailed, Row, measure
from perf.compare.registry import ROWS, entries
from perf.compare.report import as_json, as_markdown

ROUNDS, SECONDS = 15, 0.2

DESCRIPTION = """Measure ours against what a user would otherwise pick, both in one run, in turn.
Exit code 1 when a row misses its target, cannot be measured on this machine, or the two sides
computed different things."""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `compare` to the commands of `python -m perf`."""
    parser = commands.add_parser(
        "compare",
        help="ours against what a user would pick instead, side by side in one run",
        description=DESCRIPTION,
        epilog="example: python -m perf compare clahe decode/rle --json out/compare.json",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"rows: {', '.join(ROWS)} (all)")
    parser.add_argument("--json", metavar="FILE", help="write the report there; - is stdout")
    parser.add_argument("--markdown", metavar="FILE", help="write the table there; - is stdout")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"default {ROUNDS}")
    parser.add_argument(
        "--seconds", type=float, default=SECONDS, help=f"a side in a round; default {SECONDS}"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure the rows named; return the exit code."""
    try:
        wanted = entries(args.names)
    except KeyError as error:
        print(f"perf compare: {error.args[0]}", file=sys.stderr)
        return 2
    about, revision = machine(), commit()  # before our own load
    rows, not_measured = _measured(wanted, args)
    called = f"python -m perf compare {shlex.join(args.names)}".strip()
    report = as_json(about, revision, called, rows, not_measured)
    _write(args.json, report.decode() + "\n")
    _write(
        args.markdown or ("-" if args.json != "-" else None),
        as_markdown(msgspec.json.decode(report)),
    )
    return 0 if all(row.met for row in rows) and not not_measured else 1


def _measured(wanted: list[Entry], args: argparse.Namespace) -> tuple[list[Row], dict[str, str]]:
    """Return the rows, and why others have no figure; a row that fails is the last."""
    rows: list[Row] = []
    not_measured: dict[str, str] = {}
    for number, entry in enumerate(wanted, 1):
        place = f"[{number}/{len(wanted)}] {entry.name}"

        def tell(text: str, place: str = place) -> None:
            print(f"{place}: {text}", file=sys.stderr, flush=True)

        if not isinstance(entry, Figure) and (reason := entry.missing()):
            not_measured[entry.name] = reason
            tell(f"NOT MEASURED: {reason}")
            continue
        tell("preparing")
        try:
            row = measure(entry, rounds=args.rounds, seconds=args.seconds, progress=tell)
        except NotMeasured as error:
            not_measured[entry.name] = str(error)
            tell(f"NOT MEASURED: {error}")
            continue
        except MeasuringFailed as error:
            tell(f"failed\n{error}")  # what was measured before is written all the same
            not_measured[entry.name] = f"failed: {str(error).strip().splitlines()[-1]}"
            not_measured |= {one.name: "the run ended before it" for one in wanted[number:]}
            break
        rows.append(row)
        tell(
            f"{row.ours:.4g} against {row.theirs:.4g} {row.unit}: {row.ratio:.2f} x, "
            f"target {row.target:g} x, {'met' if row.met else 'MISSED'}"
            f"{'' if row.equal else '; the results DIFFER'}"
        )
    return rows, not_measured


def _write(where: str | None, text: str) -> None:
    if where == "-":
        print(text, end="")
    elif where:
        Path(where).parent.mkdir(parents=True, exist_ok=True)
        Path(where).write_text(text)
