"""Masks as uncompressed COCO run lengths: column-major, runs of 0 and 1 in turn, 0 first."""

from __future__ import annotations

import numpy as np

from engine.errors import BadMessage
from engine.messages import Mask


def encode_mask(mask: np.ndarray, label: str) -> Mask:
    """Return the run lengths of where `mask` (rows, columns) is not zero.

    The first count is of zeros, and is 0 where the top left pixel is set.
    """
    rows, columns = mask.shape
    flat = np.ravel(mask != 0, order="F")
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    counts = np.diff(changes, prepend=0, append=flat.size).tolist()
    return Mask(label=label, size=(rows, columns), counts=[0, *counts] if flat[0] else counts)


def decode_mask(mask: Mask) -> np.ndarray:
    """Return uint8 (rows, columns), 1 inside; raise `BadMessage` if the counts do not fill it."""
    rows, columns = mask.size
    if min(mask.counts, default=0) < 0 or sum(mask.counts) != rows * columns:
        raise BadMessage(
            f"the mask's counts add up to {sum(mask.counts)}, its size to {rows * columns}"
        )
    values = (np.arange(len(mask.counts)) % 2).astype(np.uint8)
    return np.repeat(values, mask.counts).reshape(columns, rows).T
