"""What a decoder is, to the registry."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from engine.messages import FrameMessage


class Backend(Protocol):
    """One decoder. Add one by writing a module like `native.py` and naming it in the registry."""

    @property
    def name(self) -> str:
        """What `scanstream inspect` calls it."""

    @property
    def syntaxes(self) -> frozenset[str]:
        """Transfer syntax UIDs that it serves."""

    @property
    def most_samples(self) -> int:
        """The most samples a pixel that it decodes: 1 where it knows no colour."""

    def missing(self, syntax: str) -> str | None:
        """Return what to install before `syntax` can be decoded, or None if it can be now."""

    def decode(self, message: FrameMessage) -> np.ndarray:
        """Return stored values; raise `DecodeFailed` or whatever the codec raises."""
