"""Which cores whose processes have, for a stack and for its simulation alike."""

from __future__ import annotations

from collections.abc import Sequence

SERIES = 1024  # so many that every partition has its even share: chance is the fleet's subject


class TooFewCores(ValueError):
    """There are not enough processors here; the text says how many it takes."""


def layout(workers: int, cores: Sequence[int]) -> tuple[list[int], list[int]]:
    """Return the workers' cores, one each, and those of broker and generator.

    Raises `TooFewCores`: two at least, so that one worker has its core alone.
    """
    if len(cores) < max(2, workers):
        raise TooFewCores(
            f"{workers} worker(s) with a core each need {max(2, workers)} processors, "
            f"{len(cores)} may be used here"
        )
    return list(cores[:workers]), list(cores[workers:]) or list(cores)
