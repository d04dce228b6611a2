"""scanstream demo: the main job, on servers of its own."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from engine.config import Settings
from engine.demo.inputs import from_folder, phantoms
from engine.demo.run import run_demo
from engine.errors import ConfigError

HELP = "stream a study, or the project's phantom, through the whole path on a stack of its own"
EXAMPLE = "scanstream demo --input study/ --out out/study"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's options."""
    parser.add_argument("--input", type=Path, metavar="PATH", help="a DICOM file, or a folder")
    parser.add_argument(
        "--frames", type=int, default=240, metavar="N", help="frames of the phantom (default 240)"
    )
    parser.add_argument("--out", type=Path, default=Path("out/demo"), metavar="DIR")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")


def run(args: argparse.Namespace) -> int:
    """Run the demo; 0 when every accepted frame has a result and none of ours died."""
    if args.frames < 1:
        raise ConfigError("--frames must be at least 1")
    if args.input is not None and not args.input.exists():
        raise ConfigError(f"--input {args.input} does not exist")
    try:
        args.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--out {args.out} cannot be made: {error.strerror}") from None
    inputs = from_folder(args.input) if args.input else phantoms(args.frames)
    settings = Settings.load(store=args.out / "stack" / "store")
    with _progress() as progress:
        summary = run_demo(settings, inputs, args.out, progress)
    if args.json:
        print(json.dumps(summary))
    else:
        _tell(summary, args.out)
    ours_died = summary["dead_letters"] if args.input else summary["dead_letters_on_phantom"]
    return 1 if ours_died or not summary["results"] else 0


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description:<45}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(file=sys.stderr),
    )


def _tell(summary: dict[str, object], out: Path) -> None:
    objects = summary["objects"]
    assert isinstance(objects, dict)
    print(
        f"{objects['sent']} objects sent, {objects['accepted']} accepted, "
        f"{objects['refused']} refused"
    )
    for reason, count in objects["refusals"].items():
        print(f"  {count} x {reason}")
    print(
        f"{summary['frames']} frames: {summary['results']} results, "
        f"{summary['dead_letters']} dead letters, {summary['frames_per_second']} frames/s"
    )
    print(f"statuses: {summary['statuses']}; model: {summary['models']} {summary['precisions']}")
    print(f"latency, ms: {summary['latency_ms']}")
    print(f"stages, mean ms: {summary['stages_ms']}")
    series = summary["series"]
    assert isinstance(series, list)
    for one in series:
        truth = "" if one["expected"] is None else f" (truth {one['expected']:.1f} %)"
        print(f"ejection fraction {one['ejection_fraction']:.1f} %{truth}, {one['slices']} slices")
    print(f"open {out / 'overview.png'}; results in {out / 'results.jsonl'}")
