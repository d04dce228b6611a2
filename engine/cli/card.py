"""scanstream model card: the model card's tables and pictures, from what was measured."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.cli.export import say
from engine.errors import ConfigError

if TYPE_CHECKING:
    from engine.training.pictures import Grey

PAGE = Path("docs/model-card.md")
HISTORY = "history.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    add = parser.add_argument
    add("--page", type=Path, default=PAGE, help="the card; what lies between its marks is replaced")
    add("--run", type=Path, action="append", default=[], help="folder of a run; the served first")
    add("--evaluation", type=Path, nargs="*", default=[], help="files of `evaluate --out`")
    add("--builds", type=Path, nargs="*", default=[], help="build.json files")
    add("--widths", type=Path, help="JSON of the widths' trade-off")
    add("--weights", type=Path, help="the served ONNX file")
    add("--data", type=Path, help="folder with images/ and labels/: examples in grey, under --full")
    add(
        "--full", type=Path, default=Path("out/model-card"), help="for pictures not to be published"
    )


def run(args: argparse.Namespace) -> int:
    """Write the parts whose files were given."""
    from engine.training import card

    if len({path.name for path in args.run}) < len(args.run):
        raise ConfigError("--run: folders of one name hide each other in the card")
    evaluations = [card.read(path) for path in args.evaluation]
    inputs = card.Inputs(
        runs={path.name: card.read(path / HISTORY) for path in args.run},
        evaluations=evaluations,
        builds=[card.read(path) for path in args.builds],
        widths=card.read(args.widths) if args.widths else None,
        weights=args.weights,
        grey=_grey(args.data, evaluations) if args.data else None,
    )
    parts = card.write(args.page, args.page.with_suffix(""), inputs, args.full)
    say(f"{args.page}: wrote {', '.join(parts) or 'nothing'}")
    return 0


def _grey(folder: Path, evaluations: list[Any]) -> Grey:
    """Return the pictures of all slices that were evaluated."""
    from engine.training.data import load_slices

    subjects = {row["subject"] for one in evaluations for row in one.get("by_slice", ())}
    return {each.name: each.pixels for each in load_slices(folder, subjects)}
