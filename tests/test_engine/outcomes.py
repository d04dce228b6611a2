"""Outcomes for the tests of what is observed: a result and a dead letter, with changes."""

from __future__ import annotations

from typing import Any

import msgspec
from result_records import result

from engine.messages import DeadLetter, Result


def published(**changes: Any) -> Result:
    """Return the result of a frame published 1 ms after its acceptance, changed."""
    return msgspec.structs.replace(result(1, "ok", 1_000_000_000), **changes)


def letter(**changes: Any) -> DeadLetter:
    """Return the dead letter of a record that was no frame, changed."""
    made = DeadLetter(
        id="0" * 32,
        frame=None,
        reason="decode-failed",
        message="",
        tries=3,
        source_topic="scanstream.frames",
        source_partition=0,
        source_offset=1,
        failed_ns=1_000_000_000,
    )
    return msgspec.structs.replace(made, **changes)
