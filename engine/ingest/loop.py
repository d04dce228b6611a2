"""An event loop that can be closed at any moment, with connections open."""

from __future__ import annotations

import asyncio
from typing import Any
from weakref import WeakSet


class ClosableLoop(asyncio.SelectorEventLoop):
    """Cuts the connections that are still open when it is closed.

    A connection over TLS says goodbye and waits for the other side's, up to 30 s, long after its
    client (aiokafka 0.14) has let go of it; uvloop 0.22 then fails to close its loop ("Device or
    resource busy").
    """

    def __init__(self) -> None:
        super().__init__()
        self._opened: WeakSet[asyncio.BaseTransport] = WeakSet()

    async def create_connection(self, *args: Any, **options: Any) -> Any:
        """Connect as any loop does, and remember the transport."""
        transport, protocol = await super().create_connection(*args, **options)
        self._opened.add(transport)
        return transport, protocol

    def cut_and_close(self) -> None:
        """Abort every connection that is still open, then close the loop."""
        for transport in list(self._opened):
            if isinstance(transport, asyncio.WriteTransport):
                transport.abort()
        # The sockets are closed by callbacks, of the TLS layer and then of the socket below it.
        for _ in range(3):
            self.run_until_complete(asyncio.sleep(0))
        self.close()
