"""scanstream model rollback: the version that served before serves again."""

from __future__ import annotations

import argparse

from engine.cli.versions import Change, Operator, add_common, changed, replacing
from engine.errors import ConfigError, ModelUnavailable


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    add_common(parser)


def run(args: argparse.Namespace) -> int:
    """Record the previous version; exit code 1 where it is no more what it was."""

    async def roll_back(operator: Operator) -> Change:
        before = await operator.required()
        wanted = before.previous
        if wanted is None:
            raise ConfigError(f"{args.name}: no version served before {before.now.version}")
        now, compared = await operator.bring(wanted.version)
        if now.digest != wanted.digest:
            raise ModelUnavailable(
                f"version {now.version} of {args.name} is not what served before: its weights are"
                f" {now.digest}, they were {wanted.digest}"
            )
        return Change(before, await operator.write(before, **replacing(before, now)), compared)

    return changed(args, roll_back)
