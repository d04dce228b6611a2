"""Every compiled body that a worker uses, made ready before its first frame comes."""

from __future__ import annotations

import time

from engine import decode, enhance, postprocess
from engine.config import Settings
from engine.routes import FEATURE_GROUPS, Routes


def warm(settings: Settings) -> None:
    """Compile, or load from the cache, what the routes of these settings need."""
    decode.warm()
    enhance.warm()
    postprocess.warm(Routes.load(settings.routes).features)


def main() -> int:
    """Compile everything that any route can ask for, and say how long it took."""
    start = time.monotonic()
    decode.warm()
    enhance.warm()
    postprocess.warm(frozenset(FEATURE_GROUPS))
    print(f"the compiled kernels are ready ({time.monotonic() - start:.0f} s)")
    return 0
