"""What pynetdicom 3.0.4's transport lacks for a server on a network it does not trust.

It reads 4 KiB at a time, and buffers whatever length a PDU claims, up to 4 GiB, even before there
is an association.
"""

from __future__ import annotations

import socket
from typing import Any, Final

from pynetdicom.transport import RequestHandler

PDU_BYTES: Final = 1024 * 1024  # what we announce (PS3.8 D.1), and what nothing else may exceed
SLACK: Final = 4096


class BoundedHandler(RequestHandler):  # type: ignore[misc]  # pynetdicom is untyped
    """Makes associations whose socket reads in large pieces and refuses oversized PDUs."""

    def _create_association(self) -> Any:
        connection: socket.socket = self.request
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        association = super()._create_association()
        association.dul.socket.recv = lambda size: receive(connection, size)
        return association


def receive(connection: socket.socket, size: int) -> bytearray:
    """Read `size` bytes, fewer when the peer closes; raise `OSError` for an oversized PDU.

    pynetdicom closes the connection on `OSError`.
    """
    if size > PDU_BYTES + SLACK:
        raise OSError("a PDU is larger than the length that was agreed")
    buffer = bytearray(size)
    view, got = memoryview(buffer), 0
    while got < size:
        count = connection.recv_into(view[got:])
        if count == 0:
            break
        got += count
    view.release()
    del buffer[got:]
    return buffer
