"""`scanstream reconcile`: accepted frames against answered ones."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event

from rich.console import Console
from rich.progress import Progress, TextColumn, TimeElapsedColumn

from engine.config import Settings
from engine.errors import ConfigError
from engine.reconcile.again import publish_places
from engine.reconcile.compare import Balance, balance
from engine.reconcile.records import Tick

HELP = "compare accepted frames with answered ones; --drive publishes the missing again"
EXAMPLE = "scanstream reconcile --drive --every 60"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's options."""
    add = parser.add_argument
    add("--drive", action="store_true", help="publish what is missing again")
    add("--every", type=float, metavar="SECONDS", help="again and again, until Ctrl-C")
    add("--broker", help="host:port (setting `broker`)")
    add("--json", action="store_true", help="one JSON object a comparison on stdout")


def run(args: argparse.Namespace) -> int:
    """Compare; return 1 where a frame is missing and was not driven."""
    if args.every is not None and args.every <= 0:
        raise ConfigError("--every must be above 0 seconds")
    settings = Settings.load(broker=args.broker)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # we say it in one line
    while True:
        left = _once(settings, args)
        if args.every is None:
            return 1 if left else 0
        Event().wait(args.every)


def _once(settings: Settings, args: argparse.Namespace) -> int:
    """Compare, and drive where that is asked for; return how many are still missing."""
    began_s = time.monotonic()
    with _counting() as tick:
        found = asyncio.run(balance(settings, tick))
    driven = 0
    if args.drive and found.missing:
        driven = sum(not one.refused for one in publish_places(settings, found.missing))
    _tell(found, driven, time.monotonic() - began_s, args.json)
    return len(found.missing) - driven


def _tell(found: Balance, driven: int, seconds: float, as_json: bool) -> None:
    counts = {
        "accepted": found.accepted,
        "answered": found.answered,
        "dead_letters": found.dead,
        "waiting": found.waiting,
        "no_frames": found.strangers,
        "missing": len(found.missing),
        "driven": driven,
    }
    if as_json:
        places = ["/".join(map(str, place)) for place in found.missing]
        print(json.dumps({**counts, "seconds": round(seconds, 3), "places": places}), flush=True)
    else:
        words = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts.items())
        print(f"{words} ({seconds:.1f} s)", flush=True)
        for place in found.missing:
            print("missing: " + "/".join(map(str, place)), file=sys.stderr)


@contextmanager
def _counting() -> Iterator[Tick]:
    """Count records on a terminal's stderr."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.completed} records read"), TimeElapsedColumn())
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("reading", total=None)
        yield lambda count: bar.advance(task, count)
