"""Whether all values of a frame fit BitsStored, eight bytes at a time."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.decode.bodies.compiling import compiled

Words = np.ndarray[Any, np.dtype[np.uint64]]

_ONE = np.uint64(1)


@compiled
def any_bit(words: Words, signs: np.uint64, up: np.uint64) -> np.uint64:
    """Return the bits that are set in any of `words`, negative values having been inverted.

    `words` holds values side by side. `signs` are the sign bits of a word's values, 0 for unsigned
    ones, and `up` is the width of a value less 1. A value whose sign is s becomes itself, or all
    its bits turned: it fits n bits if and only if that fits n - 1, or n where there is no sign.
    """
    found = np.uint64(0)
    if signs == 0:
        for index in range(len(words)):
            found |= words[index]
        return found
    for index in range(len(words)):
        sign = words[index] & signs
        found |= words[index] ^ ((sign << _ONE) - (sign >> up))  # a sign times 2**width - 1
    return found
