"""A bound in bytes and in frames on what is in flight."""

from __future__ import annotations

import asyncio


class Budget:
    """Frames in flight, bounded in bytes and in number; waiting takers are served in order.

    A single frame larger than the whole bound may pass when nothing else is in flight: it would
    otherwise wait for ever.
    """

    def __init__(self, *, max_bytes: int, max_frames: int) -> None:
        self.max_bytes = max_bytes
        self.max_frames = max_frames
        self.bytes = 0
        self.frames = 0
        self._changed = asyncio.Condition()

    def has_room(self, size: int) -> bool:
        """Return whether a frame of `size` bytes may start now."""
        fits = self.bytes + size <= self.max_bytes and self.frames < self.max_frames
        return fits or self.frames == 0

    async def acquire(self, size: int) -> None:
        """Wait until there is room for a frame of `size` bytes, and take it."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.has_room(size))
            self.bytes += size
            self.frames += 1

    async def release(self, size: int) -> None:
        """Give the room of one frame back."""
        async with self._changed:
            self.bytes -= size
            self.frames -= 1
            self._changed.notify_all()
