"""Our gateway as a storage SCP and no more: `python -m perf.baselines.bare_gateway`.

It listens, checks and stores as `scanstream gateway` does, by the same code, in as many processes
as the settings say, but nothing is synced to the disk and the frames' messages go to nobody. Not
for use: it acknowledges what a power cut would lose.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterable
from pathlib import Path

from engine.cli.gateway import begin, serve_by_children
from engine.config import Settings
from engine.ingest.intake import Intake
from engine.ingest.scp import Gateway
from engine.ingest.upper.processes import Seat
from engine.messages import FrameMessage
from engine.routes import Routes
from engine.store import open_store


class Nobody:
    """Takes the place of the publisher."""

    def publish(self, messages: Iterable[FrameMessage]) -> int:
        """Make the messages, and drop them."""
        return sum(1 for _ in messages)


def main() -> None:
    """Serve until a signal."""
    vars(os)["fsync"] = lambda _: None
    settings, seat, stop = Settings.load(), Seat.given(), threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    if seat is None and settings.gateway_processes > 1:
        command = [sys.executable, "-m", "perf.baselines.bare_gateway"]
        serve_by_children(settings, command, stop)
        return
    keywords = Routes.load(settings.routes).keywords
    intake = Intake(settings, open_store(settings), Nobody(), keywords=keywords)
    gateway = Gateway(settings, intake, share=1 if seat is None else seat.of)
    begin(gateway, settings, seat, stop)
    if seat is None:
        Path(os.environ["SCANSTREAM_READY_FILE"]).touch()
    stop.wait()
    gateway.drain()


if __name__ == "__main__":
    main()
