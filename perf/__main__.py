"""`python -m perf`: measure scanstream. Runs from the checkout."""

from __future__ import annotations

import argparse
import sys

from perf import decoders
from perf.chaos import command as chaos
from perf.compare import command as compare
from perf.faults import command as faults
from perf.gpu import command as gpu
from perf.plan import command as plan
from perf.report import command as report
from perf.report import diff
from perf.run import command as run
from perf.soak import command as soak


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands; what it parses has `run`, which returns the exit code."""
    made = argparse.ArgumentParser(
        prog="python -m perf",
        description="Measure scanstream.",
        epilog="example: python -m perf compare clahe",
    )
    commands = made.add_subparsers(required=True, metavar="COMMAND")
    for module in (chaos, compare, decoders, diff, faults, gpu, plan, report, run, soak):
        module.add_parser(commands)
    return made


def main(argv: list[str] | None = None) -> int:
    """Run one command; return its exit code: 0 done, 1 failed or an objective missed, 2 usage."""
    args = parser().parse_args(argv)
    code: int = args.run(args)
    return code


if __name__ == "__main__":
    sys.exit(main())
