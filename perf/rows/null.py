"""The same work on both sides: what the harness itself adds, and how noisy the machine is."""

from __future__ import annotations

import numpy as np

from perf.compare.case import Case, Entry, Prepared

MEGABYTES = 8


def cases() -> list[Entry]:
    """Return the one row, whose ratio is 1 on a quiet machine."""
    return [
        Case(
            name="null/itself",
            rival="the same copy of 8 MB",
            unit="MB/s",
            target=0.9,
            prepare=_prepare,
        )
    ]


def _prepare() -> Prepared:
    source = np.arange(MEGABYTES * 1_000_000, dtype=np.uint8)
    target = np.empty_like(source)

    def copy() -> None:
        np.copyto(target, source)

    copy()
    return Prepared(copy, copy, MEGABYTES, lambda: (bool((source == target).all()), ""))
