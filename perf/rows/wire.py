"""Row 10: the wire codec on real 16-bit frames, against zstd level 3 on the raw pixels.

Its speed is two rows, for packing and for unpacking; the frames of each modality are also measured
alone. Blosc2 and HTJ2K stand beside it, without a ratio to reach.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from statistics import geometric_mean
from typing import Any

from engine import wire
from perf.baselines import wire as baseline
from perf.baselines.wire import Frame, Packer
from perf.compare.case import Case, Entry, Figure, Prepared

ZSTD = f"zstandard {version('zstandard')}, level 3, raw pixels"
BLOSC = f"blosc2 {version('blosc2')}, byte shuffle, zstd level 5"
HTJ2K = f"imagecodecs {version('imagecodecs')}, HTJ2K reversible"
SIZE, SPEED = 1 / 0.78, 2.0
REPETITION_BYTES = 4_000_000
OURS = Packer(
    lambda frame: wire.pack(frame.info, frame.value),
    lambda frame, packed: wire.unpack(frame.info, packed),
)
_BOUND = (
    "Two of the six CT frames are maps, mostly empty, where both sides come near to a copy; the "
    "pictures reach 2.1x to 2.5x (docs/decisions/0009-wire-codec.md)."
)


def cases() -> list[Entry]:
    """Return the rows; MB are those of the raw pixels, in `size` those of the packed ones."""
    return [
        _size("", ZSTD, SIZE, baseline.zstd),
        *_speeds("", ZSTD, SPEED, baseline.zstd),
        *(
            row
            for one in baseline.FILES
            for row in _speeds(f"-{one}", ZSTD, SPEED, baseline.zstd, one)
        ),
        _size("-blosc2", BLOSC, 0.0, baseline.blosc),
        *_speeds("-blosc2", BLOSC, 0.0, baseline.blosc),
        _size("-htj2k", HTJ2K, 0.0, baseline.htj2k),
        *_speeds("-htj2k", HTJ2K, 0.0, baseline.htj2k),
    ]


def _size(suffix: str, rival: str, target: float, make: Callable[[], Packer]) -> Entry:
    return Figure(
        name=f"wire/size{suffix}",
        rival=rival,
        unit="MB",
        target=target,
        measure=partial(_sizes, make),
        lower_is_better=True,
    )


def _speeds(
    suffix: str, rival: str, target: float, make: Callable[[], Packer], modality: str = ""
) -> list[Entry]:
    return [
        Case(
            name=f"wire/{way}{suffix}",
            rival=rival,
            unit="MB/s",
            target=target,
            prepare=partial(_prepare, way, modality, make),
            bound=_BOUND if way == "decode" else "",
        )
        for way in ("encode", "decode")
    ]


def _sizes(make: Callable[[], Packer]) -> tuple[float, float, bool, str]:
    """Return the packed MB of ours and theirs over all frames, and the shares in the note."""
    frames, theirs = baseline.frames(), make()
    pairs = [(one.modality, len(OURS.pack(one)), len(theirs.pack(one))) for one in frames]
    shares = [ours / other for _, ours, other in pairs]
    modalities = (f"{name.upper()} {_share(pairs, name):.3f}" for name in baseline.FILES)
    note = (
        f"{_share(pairs):.3f} of theirs: {', '.join(modalities)}; a frame {min(shares):.3f} to "
        f"{max(shares):.3f}, geometric mean {geometric_mean(shares):.3f}, {len(frames)} frames."
    )
    total = sum(ours for _, ours, _ in pairs) / 1e6
    return total, total / _share(pairs), _same(frames, theirs)[0], note


def _share(pairs: list[tuple[str, int, int]], modality: str = "") -> float:
    """Return our bytes over theirs, of a modality or of all."""
    some = [pair for pair in pairs if modality in ("", pair[0])]
    return sum(ours for _, ours, _ in some) / sum(theirs for _, _, theirs in some)


def _prepare(way: str, modality: str, make: Callable[[], Packer]) -> Prepared:
    frames, theirs = baseline.frames(modality), make()
    size = sum(len(frame.value) for frame in frames)
    repeats = max(1, round(REPETITION_BYTES / size))
    return Prepared(
        partial(_run, repeats * _jobs(way, frames, OURS)),
        partial(_run, repeats * _jobs(way, frames, theirs)),
        repeats * size / 1e6,
        partial(_same, frames, theirs),
    )


def _jobs(way: str, frames: list[Frame], packer: Packer) -> list[Callable[[], Any]]:
    if way == "encode":
        return [partial(packer.pack, frame) for frame in frames]
    return [partial(packer.unpack, frame, packer.pack(frame)) for frame in frames]


def _run(jobs: list[Callable[[], Any]]) -> None:
    for job in jobs:
        job()


def _same(frames: list[Frame], theirs: Packer) -> tuple[bool, str]:
    """Whether both sides give every frame's bytes back."""
    equal = all(
        baseline.bytes_of(packer.unpack(frame, packer.pack(frame))) == frame.value
        for packer in (OURS, theirs)
        for frame in frames
    )
    return equal, "Both give the same bytes back, ours with a checksum."
