"""What a decoder does with damaged frames: decodes them, refuses them, or ends its process.

`crashes(name, count)` runs a decoder in a process of its own, over frames damaged at random from a
seed, and starts it again behind each frame that ended it. Frames are 64 x 64: damage to headers
and tables is more likely in a small one.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import NamedTuple

import msgspec
import numpy as np

from engine.decode.registry import BACKENDS
from engine.messages import FrameMessage
from perf.baselines import decode as baseline

DEADLINE_S = 5
ENOUGH = 10  # ends of the process after which no more frames are tried
_HEADER = 700  # bytes at the front that hold headers and tables


class Damage(NamedTuple):
    """How many damaged frames were tried, decoded to something, and ended the process."""

    tried: int
    decoded: int
    ended: int


def crashes(name: str, count: int) -> Damage:
    """Damage `count` frames of the decoder `name`; stop early when it ended `ENOUGH` times."""
    tried = decoded = ended = 0
    while tried < count and ended < ENOUGH:
        command = [sys.executable, "-m", "perf.damage", name, str(tried), str(count)]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        if not done.stdout:
            raise RuntimeError(f"{name} does not start: exit code {done.returncode}")
        tried += done.stdout.count(b"?")
        decoded += done.stdout.count(b"+")
        ended += done.returncode != 0
    return Damage(tried, decoded, ended)


def main(argv: list[str]) -> int:
    """Decode frames `first` to `last`: writes `?` before each, `+` if decoded, `-` if refused."""
    name, first, last = argv[0], int(argv[1]), int(argv[2])
    (backend,) = (getattr(one, "inner", one) for one in BACKENDS if one.name == name)
    intact = _intact(backend.syntaxes)
    backend.decode(intact[0])  # compiled, before the clock runs
    for seed in range(first, last):
        message = intact[seed % len(intact)]
        hostile = msgspec.structs.replace(message, value=damaged(message.value, seed))
        os.write(1, b"?")
        signal.alarm(DEADLINE_S)
        try:
            backend.decode(hostile)
            os.write(1, b"+")
        except Exception:  # codecs raise anything
            os.write(1, b"-")
        signal.alarm(0)
    return 0


def _intact(syntaxes: frozenset[str]) -> list[FrameMessage]:
    """Return the middle of a frame in each of the transfer syntaxes."""
    depths = {baseline.depth_of(syntax) for syntax in syntaxes}
    whole = {depth: baseline.frames(3, depth=depth)[1] for depth in depths}
    return [
        baseline.message(whole[baseline.depth_of(syntax)][220:284, 220:284].copy(), syntax)
        for syntax in baseline.SYNTAXES
        if syntax in syntaxes
    ]


def damaged(value: bytes, seed: int) -> bytes:
    """Return the bytes with some changed anywhere, one in a hundred, in the header, or cut out."""
    rng = np.random.default_rng(seed)
    data = np.frombuffer(value, np.uint8).copy()
    kind = seed // len(baseline.SYNTAXES) % 4
    if kind == 3:
        at, length = int(rng.integers(len(data) - 1)), int(rng.integers(1, 64))
        return data[:at].tobytes() + rng.bytes(int(rng.integers(8))) + data[at + length :].tobytes()
    count = (int(rng.integers(1, 4)), max(1, len(data) // 100), int(rng.integers(1, 6)))[kind]
    where = rng.integers(2, min(len(data), _HEADER if kind == 2 else len(data)), count)
    data[where] = (
        rng.integers(0, 256, count) if kind < 2 else rng.choice([0, 1, 127, 128, 255], count)
    )
    return data.tobytes()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
