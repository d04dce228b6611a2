"""Rounds of two sides in alternating order, for sides that are stacks of their own."""

from __future__ import annotations

from collections.abc import Callable


def in_turn(
    ours: Callable[[], float],
    theirs: Callable[[], float],
    rounds: int,
    progress: Callable[[str], None],
) -> list[tuple[float, float]]:
    """Return (ours, theirs) of each round; who begins changes with every round."""
    found = []
    for number in range(rounds):
        if number % 2 == 0:
            mine, other = ours(), theirs()
        else:
            other, mine = theirs(), ours()
        progress(f"round {number + 1} of {rounds}: {mine:.4g} and {other:.4g}")
        found.append((mine, other))
    return found
