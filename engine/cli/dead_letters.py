"""`scanstream dead-letters`: what could not be done, why, and once more."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sys
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec

from engine.config import Settings
from engine.errors import ConfigError
from engine.messages import DeadLetter
from engine.reconcile.again import Again, publish_places
from engine.reconcile.letters import Letter, letters
from engine.reconcile.records import Place

HELP = "list, show and retry what could not be done"
EXAMPLE = "scanstream dead-letters retry --reason decode-failed"

ACTIONS = ("list", "show", "retry")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's options."""
    add = parser.add_argument
    add("action", choices=ACTIONS, help="list: those without a result since; show and retry: by id")
    add("ids", nargs="*", metavar="ID", help="ids of dead letters, or how they begin")
    add("--reason", help="those of this reason only")
    add(
        "--all",
        action="store_true",
        help="list: those, too, that a later result has superseded;"
        " retry: every one that is listed",
    )
    add("--dry-run", action="store_true", help="retry: say what would be done")
    add("--broker", help="host:port (setting `broker`)")
    add("--json", action="store_true", help="one JSON object on stdout")


def run(args: argparse.Namespace) -> int:
    """Do it; return 1 where an id is unknown, or something could not be retried."""
    settings = Settings.load(broker=args.broker)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # we say it in one line
    if args.action == "show" and not args.ids:
        raise ConfigError("show needs an ID: `scanstream dead-letters list` has them")
    if args.action == "retry" and not (args.ids or args.all or args.reason):
        raise ConfigError("retry needs IDs, --reason or --all")
    chosen, unknown = _chosen(asyncio.run(letters(settings)), args)
    for one in unknown:
        print(f"no dead letter {one}", file=sys.stderr)
    if args.action == "retry":
        failed = _retry(settings, chosen, args)
    else:
        failed = False
        _show(chosen, args) if args.action == "show" else _list(chosen, args)
    return 1 if unknown or failed else 0


def _chosen(found: Sequence[Letter], args: argparse.Namespace) -> tuple[list[Letter], list[str]]:
    """Return the letters that are asked for, and the ids that none has."""
    if args.reason:
        found = [one for one in found if one.letter.reason == args.reason]
    if args.ids:
        hits = {name: [one for one in found if one.letter.id.startswith(name)] for name in args.ids}
        chosen = {one.letter.id: one for ones in hits.values() for one in ones}
        return list(chosen.values()), [name for name, ones in hits.items() if not ones]
    with_answered = args.all and args.action == "list"
    return [one for one in found if with_answered or not one.answered], []


def _list(chosen: Sequence[Letter], args: argparse.Namespace) -> None:
    if args.json:
        print(json.dumps({"dead_letters": [_object(one) for one in chosen]}))
        return
    for one in chosen:
        letter = one.letter
        age_s = time.time() - letter.failed_ns / 1e9
        state = "  (a result has come since)" if one.answered else ""
        print(
            f"{letter.id[:12]}  {age_s:8.0f} s  {letter.tries} tries  {letter.reason:<16}"
            f"  {letter.message}{state}"
        )
    counts = Counter(one.letter.reason for one in chosen)
    print(
        ", ".join(f"{count} {reason}" for reason, count in counts.most_common()) or "none",
        file=sys.stderr,
    )


def _show(chosen: Sequence[Letter], args: argparse.Namespace) -> None:
    objects = [_object(one) for one in chosen]
    print(json.dumps({"dead_letters": objects} if args.json else objects, indent=2))


def _object(one: Letter) -> dict[str, Any]:
    return {**msgspec.to_builtins(one.letter), "answered": one.answered}


def _retry(settings: Settings, chosen: Sequence[Letter], args: argparse.Namespace) -> bool:
    """Publish again; say what became of each; return whether one could not be."""
    by_place = {_place(one.letter): one.letter for one in chosen}
    done = (
        [Again(place) for place in by_place]
        if args.dry_run
        else publish_places(settings, [*by_place])
    )
    refused = [one for one in done if one.refused]
    if args.json:
        rows = [
            {
                "id": by_place[one.place].id,
                "retried": not one.refused and not args.dry_run,
                "refused": one.refused,
            }
            for one in done
        ]
        print(json.dumps({"dead_letters": rows, "dry_run": args.dry_run}))
    for one in refused:
        print(f"{by_place[one.place].id[:12]}: {one.refused}", file=sys.stderr)
    verb = "would be tried" if args.dry_run else "are on their way"
    print(f"{len(done) - len(refused)} of {len(done)} {verb} again", file=sys.stderr)
    return bool(refused)


def _place(letter: DeadLetter) -> Place:
    return Place(letter.source_topic, letter.source_partition, letter.source_offset)
