"""scanstream model load: another version serves, without a frame lost or held up."""

from __future__ import annotations

import argparse

from engine.cli.versions import Change, Operator, add_common, changed, number, replacing


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    add_common(parser)
    parser.add_argument("version", metavar="VERSION", help="the number of its folder")


def run(args: argparse.Namespace) -> int:
    """Have Triton load it, try it out, record that it serves; exit code 1 where it does not."""
    version = number(args.version)

    async def load(operator: Operator) -> Change:
        before = await operator.record()
        now, compared = await operator.bring(version)
        if before is None:
            return Change(None, await operator.write(None, now=now), compared)
        if now == before.now:
            return Change(before, before, compared)
        return Change(before, await operator.write(before, **replacing(before, now)), compared)

    return changed(args, load)
