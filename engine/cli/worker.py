"""scanstream worker: one worker process of one lane."""

from __future__ import annotations

import argparse
import os
import sys

HELP = "run one worker: decode, enhance, infer and publish the frames of one lane"
EXAMPLE = "SCANSTREAM_BROKER=kafka:9092 scanstream worker --lane bulk"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's options."""
    parser.add_argument("--lane", choices=("bulk", "stat"), default="bulk")


def run(args: argparse.Namespace) -> int:
    """Become the worker: a process of its own, so that signals reach it as they are sent."""
    words = [sys.executable, "-m", "streams", "worker", "--lane", args.lane]
    os.execv(sys.executable, words)
