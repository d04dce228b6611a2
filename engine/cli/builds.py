"""scanstream model build: make a model over for a runtime and a precision, proved equal."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from engine.cli.evaluate import names
from engine.local.stack import MODELS

TARGETS = ("onnx", "openvino", "tensorrt", "tensorrt-rtx")
PRECISIONS = ("fp32", "bf16", "fp16", "int8")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    add = parser.add_argument
    add("--target", required=True, choices=TARGETS, help="the runtime to build for")
    add("--precision", required=True, choices=PRECISIONS)
    add("--source", type=Path, help="the fp32 ONNX file; the newest unet-lv when left out")
    add("--out", type=Path, help="folder for the build; out/builds/TARGET-PRECISION when left out")
    add("--data", type=Path, help="folder with images/ and labels/; the phantom when left out")
    add("--subjects", help="to check on, by comma; the validation subjects when left out")
    add("--json", action="store_true", help="print the provenance as one JSON object")


def run(args: argparse.Namespace) -> int:
    """Build; exit code 1 when the build drifts from fp32, and then nothing is kept."""
    from engine.builds import Request, build

    made = build(
        Request(
            source=args.source or newest(MODELS / "unet-lv"),
            target=args.target,
            precision=args.precision,
            out=args.out or Path("out", "builds", f"{args.target}-{args.precision}"),
            data=args.data,
            subjects=tuple(names(args.subjects)) if args.subjects else (),
        ),
        _say,
    )
    if args.json:
        print(json.dumps(made.provenance))
    else:
        print(f"{made.path}  sha256 {made.provenance['sha256']}")
    return 0


def newest(model: Path) -> Path:
    """Return `model.onnx` of the highest version of a model in a repository."""
    versions = [int(one.name) for one in model.iterdir() if one.name.isdigit()]
    return model / str(max(versions)) / "model.onnx"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
