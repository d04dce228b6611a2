"""The command `python -m perf plan`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from engine.errors import EngineError
from perf.load.target import TargetFailed
from perf.plan import check as checking
from perf.plan import costs as measured
from perf.plan.check import Check
from perf.plan.costs import Costs, CostsUnreadable
from perf.plan.fleet import Row, rows_for
from perf.plan.layout import TooFewCores
from perf.plan.report import document, not_met, table
from perf.plan.scanners import KINDS
from perf.plan.unit import Wanted

SCANNERS = (1, 10, 100, 1_000, 10_000, 100_000)
DESCRIPTION = """How many workers, partitions, brokers and cores a fleet of scanners needs for a
p99, by a queueing simulation fed with measured costs. Exit code 1 where no worker holds the
objective, or where --check finds that simulation and stack differ by more than a quarter."""
Plans = Mapping[str, tuple[Wanted, Sequence[Row]]]


LONGER = (1, 10, 100)  # times the objective asked for, tried in turn for the page


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `plan` to the commands of `python -m perf`."""
    parser = commands.add_parser(
        "plan",
        help="what a fleet of scanners needs, simulated from measured costs",
        description=DESCRIPTION,
        epilog="example: python -m perf plan --scanners 100 10000 --kind cine --objective-ms 100",
    )
    add = parser.add_argument
    add("--costs", type=Path, default=measured.FILE, help="default perf/plan/costs.json")
    add("--scanners", type=int, nargs="+", default=SCANNERS, metavar="N", help="sizes of the fleet")
    add("--kind", choices=sorted(KINDS), help="of scanner; default mix, of --markdown all")
    add("--objective-ms", type=float, default=100.0, help="p99 from due to answered; default 100")
    add("--gpu-hz", type=float, help="the network's frames/s on one GPU, as you measured it")
    add("--json", action="store_true", help="print one object on stdout and nothing else")
    add("--markdown", type=Path, metavar="FILE", help="write the tables, costs and assumptions")
    doing = parser.add_mutually_exclusive_group()
    doing.add_argument("--measure", action="store_true", help="measure the costs into --costs")
    doing.add_argument(
        "--check", action="store_true", help="real stacks against the simulation: check.json"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Plan, measure or check; return the exit code."""
    wrong = args.objective_ms <= 0 or min(args.scanners) < 1
    if wrong or (args.gpu_hz is not None and args.gpu_hz <= 0):
        print("perf plan: --objective-ms, --scanners and --gpu-hz are above 0", file=sys.stderr)
        return 2
    try:
        if args.measure:
            return _measure(args)
        costs = Costs.load(args.costs)
        return _check(args, costs) if args.check else _plan(args, costs)
    except (CostsUnreadable, TooFewCores) as error:
        print(f"perf plan: {error}", file=sys.stderr)
        return 2
    except (EngineError, TargetFailed, OSError) as error:
        print(f"perf plan: {error}", file=sys.stderr)
        return 1


def _measure(args: argparse.Namespace) -> int:
    from perf.plan.measure import measure  # brings up what only this needs

    args.costs.parent.mkdir(parents=True, exist_ok=True)  # now, not after minutes
    found = measure(_say)
    found.save(args.costs)
    _say(f"wrote {args.costs}")
    return _told(args, found)


def _check(args: argparse.Namespace, costs: Costs) -> int:
    found = checking.check(costs, args.objective_ms, _say)
    checking.FILE.write_bytes(msgspec.json.format(msgspec.json.encode(found)) + b"\n")
    _say(f"wrote {checking.FILE}")
    for row in found.rows:
        error = "none held" if row.error is None else f"{row.error:+.0%}"
        _say(
            f"{row.workers} worker(s): simulated {row.simulated_hz:.1f}, measured "
            f"{row.measured_hz:.1f} frames/s ({error})"
        )
    _told(args, found)
    return 0 if all(row.agrees for row in found.rows) else 1


def _plan(args: argparse.Namespace, costs: Costs) -> int:
    names = [args.kind] if args.kind else sorted(KINDS) if args.markdown else ["mix"]
    plans: dict[str, tuple[Wanted, list[Row]]] = {}
    for name in names:
        plans[name] = _planned(name, args, costs)
    if args.markdown:
        args.markdown.parent.mkdir(parents=True, exist_ok=True)
        args.markdown.write_text(document(costs, plans, _last_check()))
        _say(f"wrote {args.markdown}")
    if args.json:
        _told(args, {name: rows for name, (_, rows) in plans.items()})
    elif not args.markdown:
        for name, (wanted, rows) in plans.items():
            print(f"{name}\n\n{table(rows) if rows else not_met(wanted)}")
    held = all(rows and all(row.held for row in rows) for _, rows in plans.values())
    return 0 if args.markdown or held else 1


def _planned(name: str, args: argparse.Namespace, costs: Costs) -> tuple[Wanted, list[Row]]:
    """Plan one kind; on the page, for the shortest of some objectives that can be had at all."""
    longer = LONGER if args.markdown else LONGER[:1]
    for times in longer:
        wanted = Wanted(KINDS[name], times * args.objective_ms, args.gpu_hz)
        _say(f"{name}, {wanted.objective_ms:g} ms:")
        if rows := list(rows_for(costs, wanted, sorted(set(args.scanners)), _say)):
            break
    return wanted, rows


def _last_check() -> Check | None:
    if not checking.FILE.exists():
        return None
    try:
        return msgspec.json.decode(checking.FILE.read_bytes(), type=Check)
    except msgspec.MsgspecError as error:
        raise CostsUnreadable(f"{checking.FILE} is no check: {error}; run --check again") from None


def _told(args: argparse.Namespace, found: object) -> int:
    if args.json:
        print(msgspec.json.format(msgspec.json.encode(found)).decode())
    return 0


def _say(text: str) -> None:
    print(f"plan: {text}", file=sys.stderr, flush=True)
