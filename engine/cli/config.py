"""`scanstream config show`: every setting, its value, and where it came from."""

from __future__ import annotations

import argparse
import json
from dataclasses import fields
from pathlib import Path
from typing import Any

from engine.config import SECRETS, Settings

HELP = "show every setting, its value, and where it came from"
EXAMPLE = "scanstream config show --json"

MASK = "********"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add `show`."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="{show}")
    show = actions.add_parser("show", help=HELP)
    show.add_argument("--json", action="store_true", help="one JSON object on stdout")


def run(args: argparse.Namespace) -> int:
    """Print the settings; raise `ConfigError` when one of them cannot be."""
    found = settings_shown()
    if args.json:
        print(json.dumps({"settings": found}))
        return 0
    widths = [max(len(_text(one[column])) for one in found) for column in ("name", "value")]
    for one in found:
        print(f"{one['name']:<{widths[0]}}  {_text(one['value']):<{widths[1]}}  {one['source']}")
    return 0


def settings_shown() -> list[dict[str, Any]]:
    """Return name, value and source of every setting; a secret that is set shows as `MASK`."""
    settings, sources = Settings.load(), Settings.sources()
    return [
        {"name": name, "value": _value(settings, name), "source": sources[name]}
        for name in (one.name for one in fields(Settings))
    ]


def _value(settings: Settings, name: str) -> Any:
    value = getattr(settings, name)
    if name in SECRETS:
        return MASK if value else ""
    if isinstance(value, tuple):
        return list(value)
    return str(value) if isinstance(value, Path) else value


def _text(value: Any) -> str:
    if value in (None, "", []):
        return "-"
    return ",".join(value) if isinstance(value, list) else str(value)
