"""scanstream results: a downstream consumer."""

from __future__ import annotations

import argparse
import asyncio
import sys

import msgspec

from engine.config import Settings
from engine.messages import RESULTS, Result
from engine.results import Reader

HELP = "read results as a downstream consumer does: each one once, from the first"
EXAMPLE = "scanstream results --follow --json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's options."""
    parser.add_argument("--broker", help="host:port (setting `broker`)")
    parser.add_argument("--follow", action="store_true", help="wait for more until Ctrl-C")
    parser.add_argument("--json", action="store_true", help="one JSON object a line on stdout")


def run(args: argparse.Namespace) -> int:
    """Print the results."""
    settings = Settings.load(broker=args.broker)
    asyncio.run(_print(settings, follow=args.follow, as_json=args.json))
    return 0


async def _print(settings: Settings, *, follow: bool, as_json: bool) -> None:
    count = 0
    async with Reader(settings.broker, RESULTS, Result, follow=follow) as results:
        if not as_json:
            print(
                f"{'frame':>5}  {'route':<8}{'status':<10}{'area mm²':>9}  {'sure':>5}  {'ms':>8}"
            )
        async for result in results:
            count += 1
            text = msgspec.json.encode(result).decode() if as_json else _line(result)
            print(text, flush=True)
    print(f"{count} results, {results.repeats} repeats dropped", file=sys.stderr)


def _line(result: Result) -> str:
    latency_ms = (result.published_ns - result.accepted_ns) / 1e6
    first = result.findings[0] if result.findings else None
    area = f"{first.area_mm2:.0f}" if first and first.area_mm2 is not None else "-"
    sure = f"{first.confidence:.2f}" if first else "-"
    return (
        f"{result.frame.frame_number:>5}  {result.route or '-':<8}{result.status:<10}"
        f"{area:>9}  {sure:>5}  {latency_ms:>8.1f}"
    )
