"""Each frame by itself, in one hop to a thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, TypeAlias, TypeVar

import numpy as np

from engine.decode import decode
from engine.enhance import enhance
from engine.messages import FrameMessage
from engine.metrics import StageTimes

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
T = TypeVar("T")


class Direct:
    """Decodes and enhances in `pool`; both release the GIL for most of their time."""

    def __init__(self, pool: Executor, *, max_frame_bytes: int) -> None:
        self._pool = pool
        self._max_frame_bytes = max_frame_bytes

    async def prepare(
        self,
        message: FrameMessage,
        chain: str,
        times: StageTimes,
        observe: Callable[[Array], T] | None = None,
    ) -> tuple[Array, T | None]:
        """Return the picture of `chain`, uint8 (rows, columns), and what `observe` says."""

        def work() -> tuple[Array, T | None]:
            with times.stage("decode"):
                pixels = decode(message, max_frame_bytes=self._max_frame_bytes)
            with times.stage("enhance"):
                picture = enhance(pixels, message.info, chain)
            return picture, observe(pixels) if observe else None

        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    async def close(self) -> None:
        """Hold nothing: the pool belongs to the caller."""
