"""`python -m streams`: the stream processors, the topics' creation, the kernels' compilation."""

from __future__ import annotations

import argparse
import logging
import sys
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from engine.config import Settings
from engine.errors import EngineError
from engine.messages import Lane

if TYPE_CHECKING:
    from engine.observe.role import Shown


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
    roles.add_parser("series", help="run the app that measures series until it is told to stop")
    roles.add_parser("topics", help="create the topics that are missing")
    roles.add_parser("warm", help="compile the kernels into the cache, as the first worker would")
    args = parser.parse_args(argv)
    if args.role == "warm":
        from streams.warm import main as compile_all

        return compile_all()
    try:
        settings = Settings.load()
        if args.role == "topics":
            from streams.topics import main as topics

            return topics(settings)
        lane = args.lane if args.role == "worker" else None
        return _run(settings, lane)
    except EngineError as error:
        print(f"streams {args.role}: {error}", file=sys.stderr)
        return 2


def _run(settings: Settings, lane: Lane | None) -> int:
    """Run a worker of `lane`, or without one the series app, until a signal."""
    import mode.loop

    mode.loop.use("uvloop")  # before faust is imported, which makes the loop
    import faust

    from engine.observe.role import Shown
    from streams.reach import wait_for_broker

    warnings.simplefilter("ignore")  # pydicom's warnings quote identifiers
    logging.basicConfig(  # until Faust's own begins
        level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    shown = Shown("worker" if lane else "series", settings)
    shown.start()  # while the broker is waited for, it is seen to live and not to be ready
    wait_for_broker(settings)
    app = _worker_app(settings, lane, shown) if lane else _series_app(settings, shown)
    logging.getLogger("faust").setLevel(settings.log_level)
    logging.getLogger("faust.topics").setLevel("CRITICAL")  # its warnings quote whole records
    faust.Worker(
        app, loglevel=settings.log_level, redirect_stdouts=False
    ).execute_from_commandline()
    return 0


def _worker_app(settings: Settings, lane: Lane, shown: Shown) -> Any:
    from engine.preprocess import require
    from streams.app import make_app
    from streams.warm import warm

    require(settings.preprocess)  # before the worker joins, and not while its first frame waits
    warm(settings)
    return make_app(settings, lane, shown)


def _series_app(settings: Settings, shown: Shown) -> Any:
    from streams.series import make_app

    return make_app(settings, shown)


if __name__ == "__main__":
    sys.exit(main())
