"""Our gateway as a storage SCP and no more: `python -m perf.baselines.bare_gateway`.

It listens, checks and stores as `scanstream gateway` does, by the same code, but nothing is synced
to the disk and the frames' messages go to nobody. Not for use: it acknowledges what a power cut
would lose.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from pathlib import Path

from engine.config import Settings
from engine.ingest.intake import Intake
from engine.ingest.scp import Gateway
from engine.messages import FrameMessage
from engine.routes import Routes
from engine.store import LocalStore


class Nobody:
    """Takes the place of the publisher."""

    def publish(self, messages: Iterable[FrameMessage]) -> int:
        """Make the messages, and drop them."""
        return sum(1 for _ in messages)


def main() -> None:
    """Serve until a signal."""
    vars(os)["fsync"] = lambda _: None
    settings = Settings.load()
    keywords = Routes.load(settings.routes).keywords
    intake = Intake(settings, LocalStore(settings.store), Nobody(), keywords=keywords)
    Gateway(settings, intake).start()
    Path(os.environ["SCANSTREAM_READY_FILE"]).touch()
    threading.Event().wait()


if __name__ == "__main__":
    main()
