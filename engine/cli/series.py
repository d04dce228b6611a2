"""scanstream series: the process that measures whole series."""

from __future__ import annotations

import argparse
import os
import sys

HELP = "measure series from the results: volumes, ejection fraction, alerts"
EXAMPLE = "SCANSTREAM_BROKER=kafka:9092 scanstream series"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command has no options: everything is a setting."""


def run(args: argparse.Namespace) -> int:
    """Become the series app: a process of its own, so that signals reach it as they are sent."""
    os.execv(sys.executable, [sys.executable, "-m", "streams", "series"])
