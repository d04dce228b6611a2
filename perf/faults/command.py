"""The command `python -m perf faults`."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import msgspec

from engine.config import Settings
from engine.local.stack import LocalStack
from perf.compare.machine import commit, machine
from perf.faults.triton import LIMIT_S, Fault, freeze, kill
from perf.load.frames import cine
from perf.load.process import Backlog, Loader
from perf.load.stacks import Side, warmed

OFFLINE = Backlog(outstanding=128, seconds=10.0, warm_s=5.0, budget_ms=60_000)

DESCRIPTION = f"""Kill and freeze Triton while broker and worker carry Poisson arrivals. Exit code 1
where a frame is lost, becomes a dead letter, or is answered later than {LIMIT_S:g} s after Triton's
return."""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `faults` to the commands of `python -m perf`."""
    parser = commands.add_parser(
        "faults",
        help="Triton killed and frozen under load: is every frame answered?",
        description=DESCRIPTION,
        epilog="example: python -m perf faults --kills 10 --freezes 5 --frozen-s 60",
    )
    add = parser.add_argument
    add("--kills", type=int, default=10, help="default 10")
    add("--freezes", type=int, default=5, help="default 5")
    add("--frozen-s", type=float, default=60.0, help="seconds of a freeze; default 60")
    add("--share", type=float, default=0.3, help="load, of the highest rate; default 0.3")
    add("--json", metavar="FILE", help="write the report there; - is stdout")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the faults; return the exit code."""
    if min(args.kills, args.freezes, args.frozen_s) < 0 or not 0 < args.share <= 1:
        print("perf faults: numbers from 0 on; --share above 0, at most 1", file=sys.stderr)
        return 2
    about = {"machine": machine(), "commit": commit()}
    with tempfile.TemporaryDirectory(prefix="perf-faults-") as folder:
        rate_hz, faults = _faults(args, Path(folder))
    report = {**about, "rate_hz": round(rate_hz, 1), "limit_s": LIMIT_S, "faults": faults}
    text = msgspec.json.format(msgspec.json.encode(report)).decode()
    if args.json == "-":
        print(text)
    elif args.json:
        Path(args.json).write_text(text + "\n")
    return 0 if all(one.held for one in faults) else 1


def _faults(args: argparse.Namespace, folder: Path) -> tuple[float, list[Fault]]:
    """Return the load in frames/s, and what became of each fault."""
    settings = Settings(store=folder / "store")
    stack = LocalStack(folder, settings, series=False, gateway=False)
    faults: list[Fault] = []
    with stack, Loader(stack.settings.broker, [one.message for one in cine()]) as loader:
        warmed(Side(loader, stack.servers, stack.settings))
        rate_hz = loader.run(OFFLINE).rate_hz * args.share
        for number in range(args.kills + args.freezes):
            if number < args.kills:
                one = kill(stack, loader, rate_hz, number)
            else:
                one = freeze(stack, loader, rate_hz, number, args.frozen_s)
            faults.append(one)
            print(
                f"fault {number + 1} of {args.kills + args.freezes}: {one.kind} under"
                f" {rate_hz:.1f} frames/s, away {one.away_s} s; {one.sent} sent, {one.lost} lost,"
                f" {one.dead_letters} dead letters, the last answer {one.last_s} s after its return"
                f"{'' if one.held else ': NOT HELD'}",
                file=sys.stderr,
                flush=True,
            )
    return rate_hz, faults
