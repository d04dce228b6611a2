"""The command `python -m perf run`."""

from __future__ import annotations

import argparse
import re
import shlex
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from engine.errors import EngineError
from perf.compare.machine import machine
from perf.load.process import Where
from perf.load.stacks import chosen_broker
from perf.load.target import TargetFailed
from perf.report.page import as_html
from perf.run import scenarios, slo, terminal
from perf.run.kinds import samples
from perf.run.measure import Plan, measure
from perf.run.record import RunRecord, encoded
from perf.run.scenarios import Scenario
from perf.run.stack import Loaded, embedded, given
from perf.run.tables import TableError

TARGETS = ("kafka", "dicom")
_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:]+\]|[\w.-]+):\d{1,5}")

DESCRIPTION = """Load a target in open loop with a scenario of perf/scenarios.toml, and judge it by
perf/slo.toml. The target is the embedded stack, started for it, or with --bootstrap one that is
there. Exit code 1 where a frame has no result, an objective is missed, or a soak has grown."""


EXAMPLES = """examples:
  python -m perf run server --json out/server.json   the highest Poisson rate with p99 <= 100 ms
  python -m perf run faults --out out/perf           is a frame lost? leaves a page and a record
  python -m perf run single-stream --bootstrap kafka:9092 --triton triton:8001 --seconds 300
  python -m perf run multi-stream --rate 30 --target dicom      by C-STORE, 30 frames/s in all

exit code: 0 all is met; 1 a frame has no result, an objective is missed, or something grew;
2 wrong usage"""


class Usage(Exception):
    """The options do not go together; the text says which."""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `run` to the commands of `python -m perf`."""
    parser = commands.add_parser(
        "run",
        help="an open-loop load test with a verdict against its objectives",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("scenario", metavar="SCENARIO", help=f"one of perf/scenarios.toml: {_names()}")
    add("--json", metavar="FILE", help="write the run's record there; - is stdout")
    add("--out", type=Path, metavar="DIR", help="write SCENARIO.json and SCENARIO.html there")
    add("--bootstrap", metavar="HOST:PORT", help="the broker of a stack that is there")
    add("--triton", metavar="HOST:PORT", help="its Triton, which must answer")
    add("--gateway", metavar="HOST:PORT", help="its gateway, for --target dicom")
    add("--target", choices=TARGETS, default="kafka", help="what frames are sent to; default kafka")
    add("--rate", type=float, metavar="HZ", help="frames a second, of all loads together")
    add("--seconds", type=float, metavar="S", help="of load, instead of the scenario's")
    add("--seed", type=int, default=1, metavar="N", help="of the arrivals; default 1")
    add("--short", action="store_true", help="seconds instead of minutes: tests the harness")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the scenario; return the exit code."""
    try:
        plan = planned(args)
        _check(args, plan.scenario)
    except (TableError, Usage) as error:
        print(f"perf run: {error}", file=sys.stderr)
        return 2
    try:
        _prepare(args)
    except OSError as error:  # now, and not after half an hour of load
        print(f"perf run: {error.filename}: {error.strerror}", file=sys.stderr)
        return 2
    about = machine()
    _say(f"{plan.scenario.name}: {plan.scenario.about}")
    try:
        with _target(args, plan.scenario) as loaded:
            _say("the target is up and warm")
            record = measure(loaded, plan, about, _say)
        _write(record, args)
    except (TargetFailed, EngineError, OSError) as error:
        print(f"perf run: {error}", file=sys.stderr)
        return 1
    return 0 if record.met else 1


def _names() -> str:
    """Return the scenarios for the help text, which is shown even where they cannot be read."""
    try:
        return ", ".join(scenarios.read())
    except TableError:
        return "which cannot be read"


def planned(args: argparse.Namespace) -> Plan:
    """Read both files; raise `TableError`, or `Usage` for what they do not know."""
    known = scenarios.read()
    objectives, goodputs = slo.read(known), slo.goodputs(known)
    if args.scenario not in known:
        raise Usage(f"no scenario {args.scenario!r}; there are {', '.join(known)}")
    scenario = known[args.scenario]
    own = [one for one in objectives if one.scenario == scenario.name]
    if scenario.searches and not any(one.percentile == 99 for one in own):
        raise TableError(f"{slo.FILE}: {scenario.name} searches, and has no objective at p99")
    return Plan(
        scenario=scenario,
        objectives=own,
        command=_command(args),
        rate_hz=args.rate,
        seconds=args.seconds or (scenario.short_s if args.short else scenario.seconds),
        seed=args.seed,
        short=args.short,
        goodput=goodputs.get(scenario.name),
    )


def _check(args: argparse.Namespace, scenario: Scenario) -> None:
    for name in ("rate", "seconds"):
        if (value := getattr(args, name)) is not None and not 0 < value < float("inf"):
            raise Usage(f"--{name} {value:g}: a number above 0")
    if args.rate and scenario.closed:
        raise Usage(f"--rate: {scenario.name} goes as fast as it can")
    if args.bootstrap:
        _check_given(args, scenario)
    elif args.triton or args.gateway:
        raise Usage("--triton and --gateway are of a stack that is there: give --bootstrap too")


def _check_given(args: argparse.Namespace, scenario: Scenario) -> None:
    for name in ("bootstrap", "triton", "gateway"):
        for address in (getattr(args, name) or "").split(","):
            if address and not _ADDRESS.fullmatch(address):
                raise Usage(f"--{name} {address}: HOST:PORT")
    if args.target == "dicom" and not args.gateway:
        raise Usage("--target dicom needs --gateway beside --bootstrap")
    if scenario.faults:
        raise Usage(f"{scenario.name} kills processes: it runs on the embedded stack only")


def _target(args: argparse.Namespace, scenario: Scenario) -> AbstractContextManager[Loaded]:
    frames = samples(scenario.kinds)
    if not args.bootstrap:
        broker = chosen_broker("kafka")
        return embedded(scenario, frames, target=args.target, make_broker=broker)
    where = Where(args.target, args.bootstrap, args.gateway or "", args.triton or "")
    return given(scenario, frames, where)


def _prepare(args: argparse.Namespace) -> None:
    """Make the folders that are written to; raise OSError where a file could not be."""
    if args.out:
        args.out.mkdir(parents=True, exist_ok=True)
    if args.json and args.json != "-":
        path = Path(args.json)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.open("a").close()


def _write(record: RunRecord, args: argparse.Namespace) -> None:
    """Show the run first, then write it: what cannot be written has been seen."""
    text = encoded(record)
    show: Callable[[str], None] = _print_aside if args.json == "-" else print
    show(terminal.text(record))
    if args.json == "-":
        print(text, end="")
    elif args.json:
        Path(args.json).write_text(text)
    if args.out:
        (args.out / f"{record.scenario}.json").write_text(text)
        (args.out / f"{record.scenario}.html").write_text(as_html(record), encoding="utf-8")


def _command(args: argparse.Namespace) -> str:
    """Return the command without the names of the files that it writes."""
    words = ["python", "-m", "perf", "run", args.scenario]
    for name in ("target", "bootstrap", "triton", "gateway", "rate", "seconds", "seed"):
        if (value := getattr(args, name)) not in (None, "kafka"):
            words += [f"--{name}", str(value)]
    return shlex.join([*words, "--short"] if args.short else words)


def _print_aside(text: str) -> None:
    print(text, file=sys.stderr)


def _say(text: str) -> None:
    print(f"run: {text}", file=sys.stderr, flush=True)
