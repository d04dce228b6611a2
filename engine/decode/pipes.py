"""What goes through the pipes between a process and its decoder: a length, then bytes."""

from __future__ import annotations

import struct
from typing import IO

REQUEST = struct.Struct("<Q")  # the length of a message
ANSWER = struct.Struct("<?Q")  # decoded or not; the length of pixels or words


def read_exactly(stream: IO[bytes], length: int) -> bytes:
    """Read `length` bytes; raise `EOFError` where the other end has gone."""
    data = stream.read(length)
    if len(data) != length:
        raise EOFError
    return data
