"""`python -m streams worker --lane bulk` and `python -m streams topics`."""

from __future__ import annotations

import argparse
import logging
import sys
import warnings
from collections.abc import Sequence

from engine.config import Settings
from engine.errors import EngineError


def main(argv: Sequence[str] | None = None) -> int:
    """Run one role of the stream processors; return its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m streams",
        description="the stream processors: a worker of one lane, or the topics' creation",
        epilog="example: python -m streams worker --lane bulk",
    )
    roles = parser.add_subparsers(dest="role", required=True)
    worker = roles.add_parser("worker", help="run one worker until it is told to stop")
    worker.add_argument("--lane", choices=("bulk", "stat"), default="bulk")
    roles.add_parser("topics", help="create the topics that are missing")
    args = parser.parse_args(argv)
    try:
        settings = Settings.load()
        if args.role == "topics":
            from streams.topics import main as topics

            return topics(settings)
        return _work(settings, args.lane)
    except EngineError as error:
        print(f"streams {args.role}: {error}", file=sys.stderr)
        return 2


def _work(settings: Settings, lane: str) -> int:
    import mode.loop

    mode.loop.use("uvloop")  # before faust is imported, which makes the loop
    import faust

    from engine.enhance import warm
    from streams.app import make_app

    warnings.simplefilter("ignore")  # pydicom's warnings quote identifiers
    warm()
    app = make_app(settings, lane)
    logging.getLogger("faust").setLevel(settings.log_level)
    faust.Worker(
        app, loglevel=settings.log_level, redirect_stdouts=False
    ).execute_from_commandline()
    return 0


if __name__ == "__main__":
    sys.exit(main())
