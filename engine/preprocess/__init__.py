"""From a frame's message to the picture that a model takes, in one of two ways with one result.

`direct` carries each frame by itself; `dali` carries the frames that wait through DALI's pipeline
in batches, on the GPU where there is one. Setting `preprocess` chooses.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from typing import Protocol, TypeVar

from engine.errors import ConfigError
from engine.messages import FrameMessage
from engine.metrics import StageTimes
from engine.preprocess.colour import as_coded
from engine.preprocess.direct import Array, Direct

T = TypeVar("T")

__all__ = ["Direct", "Preprocessor", "as_coded", "make", "require"]


class Preprocessor(Protocol):
    """Decodes and enhances frames; any number at a time may be in work."""

    async def prepare(
        self,
        message: FrameMessage,
        chain: str,
        times: StageTimes,
        observe: Callable[[Array], T] | None = None,
    ) -> tuple[Array, T | None]:
        """Return the picture of `chain`, uint8 (rows, columns), and what `observe` says.

        `message.value` holds the pixels: a claim check is fetched before. `observe` is called in
        a thread with the stored values, as `engine.decode` gives them. Adds the stages `decode` and
        `enhance` to `times`. Raises `FrameError`.
        """

    async def close(self) -> None:
        """Take no more frames; those in work are cancelled."""


def require(name: str) -> None:
    """Load what the preprocessor `name` needs; raise `ConfigError` saying what to install."""
    if name != "dali":
        return
    try:
        import nvidia.dali  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            "setting `preprocess` is dali, and DALI cannot be imported"
            f" ({error}): pip install nvidia-dali-cuda120, or set `preprocess` to direct"
        ) from None


def make(
    name: str, pool: Executor, *, threads: int, max_frame_bytes: int, max_batch: int
) -> Preprocessor:
    """Return the preprocessor that setting `preprocess` names; call it in the running loop.

    `pool` has `threads` threads and carries the work on single frames. Raises `ConfigError`.
    """
    direct = Direct(pool, max_frame_bytes=max_frame_bytes)
    if name == "direct":
        return direct
    require(name)
    from engine.preprocess.dali import Dali  # slow to import, and not needed by the direct way

    return Dali(direct, pool, threads=threads, max_frame_bytes=max_frame_bytes, max_batch=max_batch)
