"""scanstream model export: a checkpoint as ONNX."""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from pathlib import Path

from engine.errors import BuildRefused, ConfigError

AGREEMENT = (
    0.98  # lowest Dice between the file's masks and the net's; rounding moves a pixel or two
)
THRESHOLD = 0.6  # chosen on the folds
THRESHOLD_HELP = "probability from which a pixel is cavity"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    add = parser.add_argument
    add("--checkpoint", type=Path, required=True, help="a last.pt of `train`")
    add("--out", type=Path, required=True, help="the ONNX file to write")
    add("--threshold", type=float, default=THRESHOLD, help=THRESHOLD_HELP)


def run(args: argparse.Namespace) -> int:
    """Export the averaged weights of a checkpoint."""
    need_training_extra()
    return write(checkpoint(args.checkpoint), args.out, args.threshold)


def write(path: Path, out: Path, threshold: float) -> int:
    """Export the averaged weights; `BuildRefused` where the file does not answer as the net does.

    `history.json` beside it is what the model card draws: plan, notes, a row an epoch.
    """
    from engine.training.data import phantom_pictures
    from engine.training.export import agreement, export
    from engine.training.train import averaged_net, notes_of, run_of

    net = averaged_net(path)
    partial = out.with_suffix(".partial")
    export(net, partial, threshold=threshold, notes=notes_of(path))
    images = phantom_pictures(8, per_heart=4, seed=0).images
    mean = agreement(partial, net, threshold, images)
    if mean < AGREEMENT:
        partial.unlink()
        raise BuildRefused(
            f"{out.name} is not written: its masks have a Dice of {mean:.4f} to the net's"
            f" on phantoms, {AGREEMENT} is wanted"
        )
    partial.replace(out)  # a server never reads half a file
    known = {
        "threshold": threshold,
        "parameters": sum(each.numel() for each in net.parameters()),
        **run_of(path),
    }
    out.with_name("history.json").write_text(json.dumps(known, indent=1) + "\n")
    say(f"wrote {out}: Dice of its masks to the net's {mean:.4f} on {len(images)} phantoms")
    return 0


def need_training_extra() -> None:
    """Raise `ConfigError` naming the first package of the `train` extra that is missing."""
    for package in ("torch", "onnx", "onnxscript"):
        if importlib.util.find_spec(package) is None:
            raise ConfigError(f"training needs {package}: pip install 'scanstream[train]'")


def checkpoint(path: Path) -> Path:
    """Return `path`; raise `ConfigError` when it is no file."""
    if not path.is_file():
        raise ConfigError(f"there is no checkpoint {path}")
    return path


def say(text: str) -> None:
    """Print progress, which is not the answer, to stderr."""
    print(text, file=sys.stderr, flush=True)
