"""scanstream model range: what the model's training pictures look like, and what lies outside."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.training.ranges import Report

MODEL = "unet-lv"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the options of `range`."""
    add = parser.add_argument
    add("--data", type=Path, required=True, help="folder with images/ and labels/")
    add("--weights", type=Path, help="the ONNX file; the newest version of ours when left out")
    add("--held-out", action="store_true", help="count the held-out five too: once, at the end")
    add("--dicom", type=Path, help="count the MR frames of the DICOM files in this folder too")
    add("--threads", type=int, default=2)
    add("--json", action="store_true", help="print one JSON object and nothing else")


def run(args: argparse.Namespace) -> int:
    """Measure every group of pictures; print the range and the rates."""
    from engine.cli.builds import newest
    from engine.local.stack import MODELS
    from engine.training import ranges

    predict = ranges.openvino_predictor(args.weights or newest(MODELS / MODEL), args.threads)
    known = ranges.known_pictures(args.data, held_out=args.held_out)
    if args.dicom:
        known["DICOM files"] = ranges.dicom_folder(args.dicom)
    unknown = ranges.unknown_pictures(args.data)
    found = {}
    for group, pictures in {**known, **unknown}.items():
        print(f"{group}: {len(pictures)} frames", file=sys.stderr, flush=True)
        found[group] = ranges.measured(pictures, predict)
    _show(
        ranges.report(
            {group: found[group] for group in known}, {group: found[group] for group in unknown}
        ),
        as_json=args.json,
    )
    return 0


def _show(report: Report, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(report.as_json()))
        return
    print(f"trained_range: {report.trained}")
    print(f"margin chosen on validation: {report.margin:.0%} of a feature's width at both ends")
    print(f"{'group':<24}{'frames':>7}{'flagged':>9}{'rate':>8}{'median novelty':>16}")
    for one in report.groups:
        rate = f"{one.share:.1%}"
        row = f"{one.group:<24}{one.frames:>7}{one.flagged:>9}{rate:>8}{one.median_novelty:>16.3f}"
        print(row + ("" if one.known else "  not as in training"))
