"""What goes between a process and its decoder: words through pipes, pixels through a slate.

The slate is memory that both have mapped. The request leaves the encoded frame on it, the answer
the stored values; only their lengths and the frame's description go through the pipes.
"""

from __future__ import annotations

import mmap
import os
import struct
from typing import IO

REQUEST = struct.Struct("<QQQ")  # lengths of the slate, of the frame on it, of what follows here
ANSWER = struct.Struct("<?Q")  # decoded or not; the length of the pixels, or of words that follow


def read_exactly(stream: IO[bytes], length: int) -> bytes:
    """Read `length` bytes; raise `EOFError` where the other end has gone."""
    data = stream.read(length)
    if len(data) != length:
        raise EOFError
    return data


class Slate:
    """A file in memory, mapped at the size last asked for. It only grows."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._map: mmap.mmap | None = None

    def of(self, size: int) -> mmap.mmap:
        """Return at least `size` bytes, mapped; raise `OSError` where there is no memory."""
        if self._map is None or len(self._map) < size:
            if os.fstat(self.descriptor).st_size < size:
                os.ftruncate(self.descriptor, size)
            self.close()
            self._map = mmap.mmap(self.descriptor, size)
        return self._map

    def close(self) -> None:
        """Unmap."""
        if self._map is not None:
            self._map.close()
            self._map = None
