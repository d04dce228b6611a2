"""The command `python -m perf report`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from perf.report.page import as_html
from perf.report.text import as_markdown
from perf.run.record import RecordUnreadable, read

DESCRIPTION = """Write the record of a run, which `python -m perf run --json` wrote, as one HTML
file that needs nothing else, or as Markdown; without either, Markdown on stdout."""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `report` to the commands of `python -m perf`."""
    parser = commands.add_parser(
        "report",
        help="a run as a page: verdicts, curves, where the time goes",
        description=DESCRIPTION,
        epilog="example: python -m perf report out/server.json --html out/server.html",
    )
    parser.add_argument("file", type=Path, metavar="FILE.json", help="the record of a run")
    parser.add_argument("--html", metavar="FILE", help="write the page there; - is stdout")
    parser.add_argument("--markdown", metavar="FILE", help="write Markdown there; - is stdout")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the reports; return the exit code."""
    try:
        record = read(args.file)
        if args.html:
            _write(args.html, as_html(record))
        if args.markdown or not args.html:
            _write(args.markdown or "-", as_markdown(record))
    except (RecordUnreadable, OSError) as error:
        print(f"perf report: {error}", file=sys.stderr)
        return 2
    return 0


def _write(where: str, text: str) -> None:
    if where == "-":
        print(text, end="")
        return
    Path(where).parent.mkdir(parents=True, exist_ok=True)
    Path(where).write_text(text, encoding="utf-8")
