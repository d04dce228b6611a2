"""Row 7: decoding, by transfer syntax, against pydicom's pixel_array with its fastest plug-in."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from itertools import cycle
from typing import Any

import numpy as np
from pydicom.dataset import Dataset

from engine.decode import backend_for, decode
from engine.messages import FrameMessage
from perf.baselines import decode as baseline
from perf.compare.case import Case, Entry, Prepared

Array = np.ndarray[Any, np.dtype[Any]]
MAX_FRAME_BYTES = 2**26
PYDICOM = f"pydicom {version('pydicom')} pixel_array, the fastest of its plug-ins"

# name: transfer syntax, the ratio to reach, frames in one repetition
_SYNTAXES = {
    "native": (baseline.NATIVE, 20.0, 200),
    "rle": (baseline.RLE, 10.0, 40),
    "jpeg-lossless": (baseline.JPEG + "70", 3.0, 4),
    "jpeg2000": (baseline.JPEG + "90", 1.5, 1),
    "jpeg-ls": (baseline.JPEG + "80", 1.2, 4),
    "jpeg-baseline": (baseline.BASELINE, 1.0, 10),
    "htj2k": (baseline.JPEG + "201", 1.0, 8),
}

_BOUNDS = {
    "native": (
        "each value is looked at once for bits above HighBit (PS3.5 8.1.1): reading 0.5 MB is most "
        "of a frame's time"
    ),
    "rle": (
        "a frame has some 20,600 runs, of 25 bytes on average: each begins with a byte that "
        "decides what is done next"
    ),
    "jpeg2000": (
        "every plug-in, and we, call OpenJPEG: 95 % of its time (perf record, 2.5.4) is in the "
        "three passes of its bit-plane decoder, and only the rest can be saved"
    ),
}


def cases() -> list[Entry]:
    """Return the rows."""
    return [
        Case(
            name=f"decode/{name}",
            rival=PYDICOM,
            unit="MB/s",
            target=target,
            prepare=partial(_prepare, syntax, repeats),
            bound=_BOUNDS.get(name, ""),
        )
        for name, (syntax, target, repeats) in _SYNTAXES.items()
    ]


def _prepare(syntax: str, repeats: int) -> Prepared:
    frames = baseline.frames(depth=baseline.depth_of(syntax))
    messages = [baseline.message(frame, syntax) for frame in frames]
    datasets = [baseline.dataset(message) for message in messages]
    plugin = _fastest(datasets[0], syntax)
    ours_next, theirs_next = cycle(messages), cycle(datasets)
    for message in messages:
        _ours(message)
    return Prepared(
        partial(_repeated, lambda: _ours(next(ours_next)), repeats),
        partial(_repeated, lambda: baseline.pixel_array(next(theirs_next), plugin), repeats),
        repeats * frames[0].nbytes / 1e6,
        partial(_same, syntax, frames, messages, datasets, plugin),
    )


def _repeated(work: Callable[[], Array], repeats: int) -> None:
    """Decode frame after frame; each is let go before the next one, as a worker does."""
    for _ in range(repeats):
        work()


def _ours(message: FrameMessage) -> Array:
    return decode(message, max_frame_bytes=MAX_FRAME_BYTES)


def _fastest(found: Dataset, syntax: str) -> str:
    """Return the plug-in with the best of five times."""
    best = {}
    for plugin in baseline.plugins(syntax):
        times = []
        for _ in range(5):
            start = time.perf_counter()
            baseline.pixel_array(found, plugin)
            times.append(time.perf_counter() - start)
        best[plugin] = min(times)
    return min(best, key=best.__getitem__)


def _same(
    syntax: str,
    frames: list[Array],
    messages: list[FrameMessage],
    datasets: list[Dataset],
    plugin: str,
) -> tuple[bool, str]:
    """Compare bit by bit: with pydicom's pixels, and with what was encoded unless it was lossy."""
    exact = True
    for frame, message, found in zip(frames, messages, datasets, strict=True):
        got = _ours(message)
        exact &= np.array_equal(got, baseline.pixel_array(found, plugin))
        exact &= syntax in baseline.LOSSY or np.array_equal(got, frame)
    backend = backend_for(syntax)
    isolated = ", in a process of its own" if hasattr(backend, "inner") else ""
    by = f"; pydicom by {plugin}" if plugin else ""
    size = sum(len(message.value) for message in messages) / sum(one.nbytes for one in frames)
    note = (
        f"bit-exact: {exact}; by {backend.name}{isolated}{by}; frames at {size:.2f} of their size"
    )
    return exact, note
