"""`scanstream model add`: from an ONNX file to an entry of a model repository, and its route."""

from __future__ import annotations

import argparse
import importlib.util
import json
from pathlib import Path
from typing import TYPE_CHECKING

from engine.config import Settings
from engine.enhance import CHAINS
from engine.errors import ConfigError
from engine.local.stack import MODELS

if TYPE_CHECKING:
    from engine.builds.added import Added

HELP = "add an ONNX file as a served model (needs the onnx package)"
MODALITY = "CT"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the options of `add`."""
    add = parser.add_argument
    add("file", type=Path, metavar="FILE.onnx")
    add("--name", required=True, help="what routes and results will call it")
    add("--labels", required=True, help="names of the mask's values from 1, by comma")
    add("--repository", type=Path, default=MODELS, help="default: the project's triton_models/cpu")
    add("--chain", default="plain", help=f"the route's: {', '.join(CHAINS)} (default: plain)")
    add(
        "--scale",
        default="0,255",
        help="MEAN,STD: a pixel goes in as (pixel - MEAN) / STD,"
        " pixels are 0 to 255; of three channels R,G,B,R,G,B (default: 0,255)",
    )
    add("--output", default="", help="the output with the logits, where there are several")
    add("--probabilities", action="store_true", help="that output has probabilities, no logits")
    add(
        "--threshold",
        type=float,
        default=0.5,
        help="probability from which a pixel is a label's, where there is no plane for background",
    )
    add(
        "--max-batch",
        type=int,
        default=0,
        help="workers' setting `max_batch` must not be larger; default: the project's own model's",
    )
    add("--modality", default=MODALITY, help="in the route that is printed")
    add("--json", action="store_true", help="print one JSON object and nothing else")


def run(args: argparse.Namespace) -> int:
    """Add the model; print where it is, and the route that sends frames to it."""
    if importlib.util.find_spec("onnx") is None:
        raise ConfigError("model add needs onnx: pip install 'scanstream[build]'")
    from engine.builds.added import Wish, add
    from engine.builds.wrap import Meaning

    mean, std = _scale(args.scale)
    meaning = Meaning(
        labels=tuple(part.strip() for part in args.labels.split(",") if part.strip()),
        mean=mean,
        std=std,
        threshold=args.threshold,
        probabilities=args.probabilities,
    )
    added = add(
        Wish(
            source=args.file,
            name=args.name,
            meaning=meaning,
            repository=args.repository,
            chain=args.chain,
            output=args.output,
            max_batch=args.max_batch,
        )
    )
    print(_json(args, added) if args.json else _text(args, added))
    return 0


def _scale(text: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the means and the deviations, of one channel or of each."""
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    half = len(numbers) // 2
    if not numbers or len(numbers) % 2:
        raise ConfigError(f"--scale {text}: means and as many deviations, such as 127.5,127.5")
    return numbers[:half], numbers[half:]


def _json(args: argparse.Namespace, added: Added) -> str:
    return json.dumps(
        {
            "name": args.name,
            "version": added.version,
            "digest": added.digest,
            "folder": str(added.folder),
            "wrapped": added.wrapped,
            "route": _route(args),
        }
    )


def _text(args: argparse.Namespace, added: Added) -> str:
    how = "cast, scale and threshold put around it" if added.wrapped else "taken as it is"
    return (
        f"{added.folder}: {args.name} version {added.version}, {how}\n"
        f"sha256 {added.digest}\n"
        "It ran in OpenVINO, in batches of 1 and 3.\n"
        f"{_batch_warning(args.max_batch)}"
        "To send frames to it, put this into your routes"
        " (docs/routes.md):\n\n"
        f"{_route(args)}"
    )


def _batch_warning(max_batch: int) -> str:
    """A worker holds all its frames while a model of its routes takes less than it may send."""
    if not max_batch or max_batch >= Settings.load().max_batch:
        return ""
    return f"Workers wait for ever unless their setting `max_batch` is at most {max_batch}.\n"


def _route(args: argparse.Namespace) -> str:
    """Return the TOML of a route; JSON's strings are TOML's, too."""
    return (
        "[[route]]\n"
        f"name = {json.dumps(args.name)}\n"
        f"match = {{ Modality = {json.dumps(args.modality)} }}\n"
        f"chain = {json.dumps(args.chain)}\n"
        f"model = {json.dumps(args.name)}\n"
        'features = ["shape"]\n'
    )
