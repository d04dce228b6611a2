"""An event loop that can be closed at any moment, with connections open or half made."""

from __future__ import annotations

import asyncio
from weakref import WeakValueDictionary


class ClosableLoop(asyncio.SelectorEventLoop):
    """Ends its tasks and cuts its connections when it is closed.

    A connection over TLS says goodbye and waits for the other side's, up to 30 s, long after its
    client (aiokafka 0.14) has let go of it; one that is cancelled while it is being made goes on
    shaking hands with nobody holding it. uvloop 0.22 fails to close its loop then ("Device or
    resource busy"), and asyncio leaves the socket open.
    """

    # asyncio's own table of what it selects on: the one place that knows a half made connection.
    _transports: WeakValueDictionary[int, asyncio.WriteTransport]

    def cut_and_close(self) -> None:
        """Cancel what still runs, abort every connection, then close the loop."""
        for task in asyncio.all_tasks(self):
            task.cancel()
        self._turn()
        for transport in list(self._transports.values()):
            transport.abort()
        self._turn()
        self.close()

    def _turn(self) -> None:
        """Let callbacks run: a socket is closed by the TLS layer's, then by its own."""
        for _ in range(3):
            self.run_until_complete(asyncio.sleep(0))
