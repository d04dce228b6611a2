"""Every decoder that is here, on every transfer syntax: speed, exactness, isolation, damage.

`python -m perf decoders --markdown docs/decoders.md` writes the table by which the defaults of
`engine.decode.registry` are chosen.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.uid import UID

from engine.decode import Backend, decoders_of
from engine.errors import DecodeFailed
from engine.messages import FrameMessage
from perf.baselines import decode as baseline
from perf.compare.machine import commit, machine
from perf.damage import Damage, crashes

ROUNDS, SECONDS = 15, 6.0  # of each transfer syntax: whichever ends first, but 3 rounds


@dataclass(frozen=True, slots=True)
class Measured:
    """One decoder of one transfer syntax. `ms` is the best time of a 512 x 512 frame."""

    syntax: str
    decoder: str
    is_default: bool
    ms: float
    mb_per_s: float
    exact: str
    isolated: bool
    ms_in_process: float | None


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `decoders` to the commands of `python -m perf`."""
    parser = commands.add_parser(
        "decoders",
        help="every decoder on every transfer syntax: speed, exactness, what damage does",
        description=__doc__,
        epilog="example: python -m perf decoders --markdown docs/decoders.md",
    )
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table there")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument("--damage", type=int, default=2000, metavar="N", help="damaged frames each")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure; write the table as asked. Returns 1 if a lossless frame came out changed."""
    given = f"python -m perf decoders --damage {args.damage}"
    told, all_cores = machine(), os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(all_cores)})  # one core, ours and the isolated decoders'
    try:
        found = [one for syntax in baseline.SYNTAXES for one in measured(syntax)]
    finally:
        os.sched_setaffinity(0, all_cores)
    survived = {name: crashes(name, args.damage) for name in _compressed(found)}
    page = _page(found, survived, told, given)
    print(page)
    if args.markdown:
        args.markdown.write_text(page)
    if args.json:
        rows = [asdict(one) for one in found]
        damage = {name: one._asdict() for name, one in survived.items()}
        known = {"machine": told, "commit": commit(), "rows": rows, "damage": damage}
        args.json.write_text(json.dumps(known, indent=1) + "\n")
    return 0 if all(one.exact != "no" for one in found) else 1


def measured(syntax: str) -> list[Measured]:
    """Measure the decoders of one transfer syntax in turns, on one frame; leave out who cannot."""
    pixels = baseline.frames(3, depth=baseline.depth_of(syntax))[1]
    message = baseline.message(pixels, syntax)
    able = [
        (one, got) for one in decoders_of(syntax) if (got := _picture(one, message)) is not None
    ]
    inner = [getattr(one, "inner", None) for one, _ in able]
    works = [partial(one.decode, message) for one in (*(one for one, _ in able), *inner) if one]
    times = iter(_in_turns(works))
    outer_ms = [next(times) for _ in able]
    inner_ms = [next(times) if one else None for one in inner]
    want = able[0][1] if syntax in baseline.LOSSY else pixels
    return [
        Measured(
            syntax,
            backend.name,
            index == 0,
            outer_ms[index],
            pixels.nbytes / 1e3 / outer_ms[index],
            _exact(got, want, syntax),
            inner[index] is not None,
            inner_ms[index],
        )
        for index, (backend, got) in enumerate(able)
    ]


def _picture(backend: Backend, message: FrameMessage) -> np.ndarray[Any, np.dtype[Any]] | None:
    """Return the decoded frame; None where its kind is not supported, as 12 bits by GDCM."""
    try:
        return backend.decode(message)
    except DecodeFailed:
        return None


def _in_turns(works: Sequence[Callable[[], Any]]) -> list[float]:
    """Return the best time of each, in ms: this may run beside other work."""
    times: list[list[float]] = [[] for _ in works]
    end = time.perf_counter() + SECONDS
    for turn in range(ROUNDS):
        if turn >= 3 and time.perf_counter() > end:
            break
        for work, taken in zip(works, times, strict=True):
            repeats = 1 if not taken else max(1, min(50, int(0.02 / taken[0])))
            start = time.perf_counter()
            for _ in range(repeats):
                work()
            taken.append((time.perf_counter() - start) / repeats)
    return [1e3 * min(taken[1:]) for taken in times]


def _exact(got: Any, want: Any, syntax: str) -> str:
    apart = int(np.abs(got.astype(np.int64) - want).max())
    if syntax in baseline.LOSSY:
        return f"lossy: at most {apart} from the default"
    return "no" if apart else "yes"


def _compressed(found: list[Measured]) -> list[str]:
    return list(dict.fromkeys(one.decoder for one in found if one.decoder != "native"))


def _page(
    found: list[Measured], survived: dict[str, Damage], told: dict[str, Any], given: str
) -> str:
    damage = [
        f"| {name} | {one.tried} | {one.decoded} | {one.tried - one.decoded - one.ended} "
        f"| {one.ended} |"
        for name, one in survived.items()
    ]
    where = f"{told['cpu']}, {told['cores']} cores, load {told['load_before']} before"
    words = _WORDS.format(given=given, commit=commit(), where=where)
    return words.replace("@speed", "\n".join(map(_line, found))).replace(
        "@damage", "\n".join(damage)
    )


_WORDS = """# Decoders

Every decoder that can be installed, on every compressed transfer syntax: MB/s of decoded pixels on
one core, the best of up to 15 turns, one after the other, with a 512 x 512 frame of the phantom, 12
bits stored in 16 (JPEG Baseline: 8), noise as a scanner's. The first of each transfer syntax is the
default: the fastest that is exact. Where its package is absent, the next one serves. Exact means
every value as before encoding; lossy frames are compared with the default's.

Written by `{given}` at commit `{commit}` on {where}.
Compare the decoders of one transfer syntax: absolute speeds hold on that machine only.

| transfer syntax | decoder | MB/s | ms a frame | exact | in a process of its own |
|---|---|---:|---:|---|---|
@speed

## Damage

Frames of 64 x 64, bytes changed or cut out at random from a seed; each decoder in a process that
may end. A decoder that has ended its process once (a crash, a loop of 5 s, an error that is no
`Exception`) runs in a process of its own from then on, also where a later run does not show it:
`CRASHING` in `engine/decode/codecs.py`. There it costs its frame, a dead letter, and the start of
another process.

| decoder | damaged frames | decoded to something | refused | ended its process |
|---|---:|---:|---:|---:|
@damage
"""


def _line(one: Measured) -> str:
    name = f"{UID(one.syntax).name} `{one.syntax}`" if one.is_default else ""
    decoder = f"**{one.decoder}**" if one.is_default else one.decoder
    cost = ""
    if one.ms_in_process is not None:
        cost = f"yes: {one.ms_in_process:.2f} ms without, {one.ms - one.ms_in_process:+.2f} ms"
    return f"| {name} | {decoder} | {one.mb_per_s:.0f} | {one.ms:.2f} | {one.exact} | {cost} |"
