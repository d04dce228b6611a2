"""Where a load goes, and where its answers come from: the protocol, and the null target.

The others are in `target_kafka`, `target_dicom` and `target_triton`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple, Protocol

from engine.messages import FrameMessage


class Answer(NamedTuple):
    """What became of one frame, and when it was known here (`time.monotonic`).

    `status` is the result's, or `dead-letter`. `record` is the JSON as it came.
    """

    frame_id: str
    at_s: float
    status: str
    record: bytes


Answered = Callable[[Answer], None]


class TargetFailed(Exception):
    """The load did not reach its target; the text says why."""


class Target(Protocol):
    """Takes frames and gives answers; both may be on different threads."""

    def start(self, answered: Answered) -> None:
        """Connect; from now on `answered` is called with every answer, from any one thread."""

    def send(self, frame: FrameMessage) -> None:
        """Hand a frame over without waiting for its answer; raise `TargetFailed`."""

    def close(self) -> None:
        """Disconnect; raise `TargetFailed` where a frame that was handed over was refused."""


class Null:
    """Answers every frame at once: what is measured then is the generator's own cost."""

    def start(self, answered: Answered) -> None:
        """Remember whom to answer."""
        self._answered = answered

    def send(self, frame: FrameMessage) -> None:
        """Make the record as for a broker, and answer it."""
        frame.to_kafka()
        self._answered(Answer(frame.id, time.monotonic(), "ok", b"{}"))

    def close(self) -> None:
        """Nothing is open."""
