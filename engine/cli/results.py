"""scanstream results: a downstream consumer."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from collections.abc import Sequence

import msgspec
from rich.live import Live

from engine.cli.live import COLUMNS, LiveResults, cells
from engine.config import Settings
from engine.messages import RESULTS, Result
from engine.results import Reader

HELP = "read results as a downstream consumer does: each one once, from the first"
EXAMPLE = "scanstream results --follow --json"

REFRESH_HZ = 4


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's options."""
    parser.add_argument("--broker", help="host:port (setting `broker`)")
    parser.add_argument("--follow", action="store_true", help="wait for more until Ctrl-C")
    parser.add_argument("--json", action="store_true", help="one JSON object a line on stdout")


def run(args: argparse.Namespace) -> int:
    """Print the results."""
    settings = Settings.load(broker=args.broker)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # we say it in one line
    asyncio.run(_print(settings, follow=args.follow, as_json=args.json))
    return 0


async def _print(settings: Settings, *, follow: bool, as_json: bool) -> None:
    count = 0
    async with Reader(settings, RESULTS, Result, follow=follow) as results:
        if follow and not as_json and sys.stdout.isatty():
            await _watch(results)
            return
        if not as_json:
            print(_line(COLUMNS))
        async for result in results:
            count += 1
            text = msgspec.json.encode(result).decode() if as_json else _line(cells(result))
            print(text, flush=True)
    print(f"{count} results, {results.repeats} repeats dropped", file=sys.stderr)


async def _watch(results: Reader[Result]) -> None:
    """Draw the live table until Ctrl-C."""
    seen = LiveResults(repeats=lambda: results.repeats)
    with Live(get_renderable=seen.render, refresh_per_second=REFRESH_HZ):
        async for result in results:
            seen.add(result)


def _line(texts: Sequence[str]) -> str:
    frame, route, status, area, sure, ms = texts
    return f"{frame:>5}  {route:<8}{status:<10}{area:>9}  {sure:>5}  {ms:>8}"
