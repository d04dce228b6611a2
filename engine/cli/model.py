"""scanstream model: a model's life, one module an action."""

from __future__ import annotations

import argparse
from types import ModuleType

from engine.cli import (
    add_model,
    builds,
    card,
    evaluate,
    export,
    load,
    models,
    ranges,
    rollback,
    shadow,
    train,
)

HELP = "Train, build, measure, serve and list segmentation models."
EXAMPLE = "scanstream model evaluate --data DIR --subjects SC-HF-I-01,SC-HF-I-02 --json"

# Of each action: its module, which gives `add_arguments(parser)` and `run(args) -> int`, and help.
ACTIONS: dict[str, tuple[ModuleType, str]] = {
    "train": (train, "train from labelled slices (needs PyTorch)"),
    "export": (export, "a checkpoint as ONNX (needs PyTorch)"),
    "build": (builds, "the model for a runtime and a precision, proved equal to fp32"),
    "evaluate": (evaluate, "Dice by subject and ejection fractions, through the served path"),
    "card": (card, "the model card's tables and pictures, from what was measured"),
    "range": (ranges, "what counts as out of distribution"),
    "add": (add_model, "an ONNX file of your own as a served model (needs the onnx package)"),
    "load": (load, "another version serves, without a frame lost or held up"),
    "rollback": (rollback, "the version that served before serves again"),
    "shadow": (shadow, "a candidate beside what serves, compared and never published"),
    "list": (models, "what there is, and what Triton serves"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the actions."""
    actions = parser.add_subparsers(dest="action", required=True)
    for name, (module, text) in ACTIONS.items():
        module.add_arguments(actions.add_parser(name, help=text))


def run(args: argparse.Namespace) -> int:
    """Run the action."""
    module, _ = ACTIONS[args.action]
    return int(module.run(args))
