"""The command `python -m perf chaos`: every row of the fault table, and the page of it."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import msgspec

from perf.chaos.ledger import FORM, ROWS, Row, read_rows
from perf.chaos.page import write_page
from perf.chaos.steps import STEPS, Step
from perf.compare.machine import commit, machine

CHECKOUT = Path(__file__).resolve().parents[2]
RESULTS = CHECKOUT / "perf" / "results" / "chaos.json"
PAGE = CHECKOUT / "docs" / "reliability.md"


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `chaos` to the commands of `python -m perf`."""
    parser = commands.add_parser(
        "chaos",
        help="kill, freeze, fill and spoil everything: is a frame lost?",
        description="Run the fault table on Apache Kafka; write it to docs/reliability.md. Exit"
        " code 1 where a row does not hold.",
        epilog="example: python -m perf chaos --form short --only workers broker",
    )
    add = parser.add_argument
    add("--form", choices=("ci", "short", "long"), default="short", help="default short")
    names = [step.name for step in STEPS]
    add("--only", nargs="+", choices=names, metavar="STEP", help=f"of {', '.join(names)}")
    add("--json", metavar="FILE", help=f"where the rows go; default {RESULTS.name} in perf/results")
    add("--no-page", action="store_true", help="leave docs/reliability.md as it is")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the steps; return 0 when every row holds."""
    steps = [step for step in STEPS if not args.only or step.name in args.only]
    begun_s = time.monotonic()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="perf-chaos-") as folder:
        for number, step in enumerate(steps, 1):
            _say(f"step {number} of {len(steps)}: {step.name}, about {step.minutes[args.form]} min")
            for row in _rows(step, args.form, Path(folder)):
                rows.append(row)
                held = "holds" if row.held else "DOES NOT HOLD"
                _say(f"  {row.fault}: {row.measured}: {held}")
    report = {
        "machine": machine(),
        "commit": commit(),
        "form": args.form,
        "minutes": round((time.monotonic() - begun_s) / 60, 1),
        "rows": rows,
    }
    text = msgspec.json.format(msgspec.json.encode(report)).decode() + "\n"
    if args.json == "-":
        print(text, end="")
    else:
        (Path(args.json) if args.json else RESULTS).write_text(text)
    if not args.no_page:
        write_page(msgspec.json.decode(text), PAGE)
    return 0 if rows and all(row.held for row in rows) else 1


def _rows(step: Step, form: str, folder: Path) -> Iterator[Row]:
    """Run one step; yield its rows, one that does not hold where it wrote none."""
    written, junit, log = (folder / f"{step.name}.{end}" for end in ("rows", "xml", "log"))
    environ = {**os.environ, FORM: form, ROWS: str(written), **step.environ.get(form, {})}
    with log.open("wb") as file:
        done = subprocess.run(
            step.command(junit),
            cwd=CHECKOUT,
            env=environ,
            stdout=file,
            stderr=subprocess.STDOUT,
            check=False,
        )
    found = read_rows(written) if written.exists() else []
    yield from found
    if step.fault:
        yield _passed(step, junit, done.returncode)
    elif done.returncode != 0 and all(row.held for row in found):
        yield Row(fault=step.name, asserted="its tests pass", measured=f"exit {done.returncode}")
    if done.returncode != 0:
        _say(log.read_text(errors="replace")[-4000:])


def _passed(step: Step, junit: Path, code: int) -> Row:
    """Return the row of a step whose proof is that its tests pass."""
    suite = ElementTree.parse(junit).getroot().find("testsuite") if junit.exists() else None
    count = (
        {name: int(suite.get(name, 0)) for name in ("tests", "failures", "errors", "skipped")}
        if suite is not None
        else {}
    )
    ran = count.get("tests", 0) - count.get("skipped", 0)
    bad = count.get("failures", 0) + count.get("errors", 0)
    said = "; ".join(suite_properties(suite)) if suite is not None else ""
    measured = f"{ran - bad} of {ran} tests pass" + (f"; {said}" if said else "")
    return Row(
        fault=step.fault,
        asserted=step.asserted,
        measured=measured,
        held=code == 0 and ran > 0,
        numbers={"tests": ran, "failed": bad},
    )


def suite_properties(suite: ElementTree.Element) -> list[str]:
    """Return what the tests recorded (`record_property`), as words."""
    return [
        f"{one.get('name')} {one.get('value')}" for one in suite.iter("property") if one.get("name")
    ]


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
