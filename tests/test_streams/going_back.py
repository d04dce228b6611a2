"""A Faust app for `test_consumer.py`: reads its records, seeks as after a rebalance, reads again.

`python going_back.py BROKER TOPIC RECORDS (ours|faust)` prints the offsets that it was given, in
order: until one comes again, or none has come for `QUIET_S` after the last.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import warnings
from typing import Any

QUIET_S = 3.0


def main(broker: str, topic: str, records: int, whose: str) -> None:
    """Run the app until it has printed its offsets."""
    import faust

    from engine.config import Settings
    from streams import base
    from streams.sending import raw_topic

    if whose == "faust":
        base.App = faust.App
    app = base.new_app(f"going-back-{whose}", Settings(broker=broker))
    offsets: list[int] = []
    all_read, again = asyncio.Event(), asyncio.Event()

    @app.agent(raw_topic(app, topic))  # type: ignore[untyped-decorator]
    async def read(stream: Any) -> None:
        async for event in stream.noack().events():
            offsets.append(event.message.offset)
            if len(offsets) == records:
                await app.consumer.perform_seek()
                all_read.set()
            elif len(offsets) > records:
                again.set()

    @app.task  # type: ignore[untyped-decorator]
    async def end() -> None:
        await all_read.wait()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(again.wait(), QUIET_S)
        print("offsets", *offsets[: records + 1], flush=True)
        signal.raise_signal(signal.SIGTERM)

    faust.Worker(app, loglevel="ERROR", redirect_stdouts=False).execute_from_commandline()


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4])
