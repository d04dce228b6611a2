"""The scanners of a fleet: what they send, and when.

A scanner sends series: its frame clock runs for `series_s`, then it pauses. The rates and sizes
below are assumptions, typical of such scanners in use, not measurements of one; they are printed
with every plan.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterator, Sequence
from typing import NamedTuple

PHASES = 1 << 16  # the pause before a scanner's first series is drawn anew by each seed


class Kind(NamedTuple):
    """One kind of scanner while it is in use.

    `together` frames come at once, as a rotation of a CT's gantry gives them; `at_end`: the whole
    series is sent when it is complete. `bytes_per_pixel` is on the wire, encoded.
    """

    name: str
    rows: int
    columns: int
    bytes_per_pixel: float
    hz: float
    series_s: float
    pause_s: float
    together: int = 1
    at_end: bool = False

    @property
    def pixels(self) -> int:
        """Of a frame."""
        return self.rows * self.columns

    @property
    def frame_bytes(self) -> int:
        """Of a frame on the topic, or of the blob that a claim check names."""
        return round(self.pixels * self.bytes_per_pixel)

    @property
    def mean_hz(self) -> float:
        """Frames a second of one scanner, over series and pauses."""
        return self.frames / (self.series_s + self.pause_s)

    @property
    def frames(self) -> int:
        """In a series."""
        return max(1, round(self.hz * self.series_s))


# bytes a pixel: 12 bits stored in 16 after the wire codec, or a modality's own compression
CINE = Kind("cine", 256, 256, 1.3, hz=30.0, series_s=10.0, pause_s=20.0)
CT = Kind("ct", 512, 512, 1.0, hz=40.0, series_s=8.0, pause_s=72.0, together=20)
ULTRASOUND = Kind("us", 600, 800, 0.4, hz=60.0, series_s=4.0, pause_s=16.0)
MAMMOGRAPHY = Kind("mammo", 4096, 3328, 1.0, hz=0.1, series_s=40.0, pause_s=440.0, at_end=True)
KINDS: dict[str, tuple[Kind, ...]] = {
    one.name: (one,) for one in (CINE, CT, ULTRASOUND, MAMMOGRAPHY)
}
KINDS["mix"] = (CINE, CT, ULTRASOUND, MAMMOGRAPHY)  # a quarter each


class Due(NamedTuple):
    """A frame of a series: `series` numbers all series of the fleet."""

    due_s: float
    series: int
    kind: Kind


def fleet(kinds: Sequence[Kind], scanners: int, seconds: float, seed: int) -> Iterator[Due]:
    """Yield the frames of so many scanners, the kinds dealt in turn, in order of time.

    Each has one series after the other, and a phase of its own: the run begins in mid-use.
    """
    each = [
        _scanner(kinds[number % len(kinds)], seconds, seed * PHASES + number)
        for number in range(scanners)
    ]
    return _in_order(_numbered(start for one in each for start in one))


def share(kinds: Sequence[Kind], scanners: float, seconds: float, seed: int) -> Iterator[Due]:
    """Yield the frames that one worker gets of a large fleet; `scanners` is its mean share.

    Where series are spread over many workers by a hash of their UID, one worker's series begin as a
    Poisson process: balls into bins, so that it is over its mean about half of the time.
    """
    rng = random.Random(seed)
    starts: list[tuple[float, Kind]] = []
    for kind in kinds:
        rate_hz = scanners / len(kinds) / (kind.series_s + kind.pause_s)
        at_s = -kind.series_s  # what began before the run is still on its way
        while (at_s := at_s + rng.expovariate(rate_hz)) < seconds:
            starts.append((at_s, kind))
    return _in_order(_numbered(iter(starts)))


def _scanner(kind: Kind, seconds: float, seed: int) -> Iterator[tuple[float, Kind]]:
    """Yield when a scanner's series begin, the first perhaps before the run."""
    rng = random.Random(seed)
    at_s = rng.uniform(-kind.series_s, kind.pause_s)
    while at_s < seconds:
        yield at_s, kind
        at_s += kind.series_s + rng.expovariate(1 / kind.pause_s)


def _numbered(starts: Iterator[tuple[float, Kind]]) -> list[tuple[float, int, Kind]]:
    return [(at_s, number, kind) for number, (at_s, kind) in enumerate(sorted(starts, key=_first))]


def _first(start: tuple[float, Kind]) -> float:
    return start[0]


def _in_order(starts: list[tuple[float, int, Kind]]) -> Iterator[Due]:
    """Merge the series' frames by time; only as many series are open as are under way."""
    under_way: list[tuple[float, int, int, Kind, float]] = []  # due, series, index, kind, start
    for start_s, number, kind in starts:
        while under_way and under_way[0][0] <= start_s:
            yield from _step(under_way)
        heapq.heappush(under_way, (_due_s(kind, start_s, 0), number, 0, kind, start_s))
    while under_way:
        yield from _step(under_way)


def _step(under_way: list[tuple[float, int, int, Kind, float]]) -> Iterator[Due]:
    """Take the earliest frame, and put its series' next one in its place."""
    due_s, number, index, kind, start_s = heapq.heappop(under_way)
    if index + 1 < kind.frames:
        heapq.heappush(
            under_way, (_due_s(kind, start_s, index + 1), number, index + 1, kind, start_s)
        )
    if due_s >= 0:
        yield Due(due_s, number, kind)


def _due_s(kind: Kind, start_s: float, index: int) -> float:
    """Return when a frame of a series is sent."""
    if kind.at_end:
        return start_s + kind.series_s
    return start_s + (index // kind.together + 1) * kind.together / kind.hz
