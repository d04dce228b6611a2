"""The frames of a load: the phantom's, as a modality sends them and as the gateway publishes them.

Each is encoded once, before anything is measured. A run sends them again and again, every time as
a new object of one of a few series, so that all partitions of the topic are used.
"""

from __future__ import annotations

import io
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate, count, cycle, product
from typing import Any, NamedTuple

import msgspec
import numpy as np
from pydicom import FileDataset, dcmread
from pydicom.encaps import encapsulate
from pydicom.uid import UID

from engine.config import Settings
from engine.ingest.frames import Origin, messages
from engine.ingest.validate import read_file
from engine.messages import FrameMessage, Lane
from engine.phantom import Phantom, dicom_objects
from engine.routes import Routes
from perf.baselines import decode as codecs

Array = np.ndarray[Any, np.dtype[Any]]
SERIES = 16
MIXED = (codecs.RLE, codecs.JPEG + "70", codecs.JPEG + "90", codecs.NATIVE)
SLICES, PHASES = 5, 4
# 2.25. and a number below 2^128 (PS3.5 B.2): nanoseconds since 1970, an ordinal, a place. It has 38
# digits from 1987 to 2141.
PLACE_BITS = 16
SERIES_BASE = 10**9
INSTANCE_LIKE, SERIES_LIKE = f"2.25.{10**37}", f"2.25.{SERIES_BASE}"  # as long as any of a load


class Sample(NamedTuple):
    """One frame: as the topic has it, as pydicom reads its file, and its true cavity.

    `mask` is uint8 (rows, columns), 1 inside.
    """

    message: FrameMessage
    dataset: FileDataset
    mask: Array


def cine(hearts: int = 2, *, wire_codec: str = "auto") -> list[Sample]:
    """Return 20 frames a heart: 256 x 256, int16, Explicit VR Little Endian."""
    return [
        _sample(found, mask, wire_codec)
        for seed in range(1, hearts + 1)
        for found, mask in _study(Phantom(slices=SLICES, phases=PHASES, seed=seed))
    ]


def mixed(hearts: int = 1, *, wire_codec: str = "auto") -> list[Sample]:
    """Return 20 frames a heart: 512 x 512, 12 bits stored, in each of `MIXED` in turn."""
    syntaxes = cycle(MIXED)
    return [
        _sample(_encoded(found, next(syntaxes)), mask, wire_codec)
        for seed in range(1, hearts + 1)
        for found, mask in _study(Phantom(slices=SLICES, phases=PHASES, seed=seed, size=512))
    ]


class Pick(NamedTuple):
    """Which frame comes next: of which `kind` of the samples ("" is any), and by which lane.

    `series` is the number of a scanner's own series; None deals the frames to all of them.
    `budget_ms` of None is that of the run.
    """

    kind: str = ""
    lane: Lane = "bulk"
    series: int | None = None
    budget_ms: float | None = None


ANY = Pick()


class Frames:
    """Endless frames, each a new object: the samples of a kind in turn, dealt to `series` series.

    `samples` may be grouped by kind; a sample's place is then that in all groups together, in
    their order. All UIDs are of one length, so that encoded objects can be patched.
    """

    def __init__(
        self,
        samples: Sequence[FrameMessage] | Mapping[str, Sequence[FrameMessage]],
        *,
        series: int = SERIES,
    ) -> None:
        groups = samples if isinstance(samples, Mapping) else {"": samples}
        self.samples = [one for group in groups.values() for one in group]
        if not self.samples or not all(groups.values()):
            raise ValueError("a load needs at least one frame of each kind")
        ends = list(accumulate(map(len, groups.values()), initial=0))
        self._places = {kind: range(*ends[n : n + 2]) for n, kind in enumerate(groups)}
        self._places[""] = range(len(self.samples))
        self._series = series
        self._ordinals = count()
        self._turns: dict[tuple[str, int | None], Iterator[int]] = {}
        self._run = time.time_ns() << 64  # no two runs share one

    def next(self, due_ns: int, budget_ms: float, pick: Pick = ANY) -> tuple[int, FrameMessage]:
        """Return a frame accepted at `due_ns` (Unix), and its sample's place.

        Raises ValueError for a kind that is not there.
        """
        ordinal = next(self._ordinals)
        place = self._place(pick)
        number = self._run | ordinal << PLACE_BITS | place
        sample = self.samples[place]
        own = ordinal % self._series if pick.series is None else self._series + pick.series
        info = msgspec.structs.replace(
            sample.info,
            sop_instance_uid=f"2.25.{number}",
            series_instance_uid=f"2.25.{SERIES_BASE + own}",
        )
        return place, msgspec.structs.replace(
            sample,
            info=info,
            # of its own: a trace that thousands of frames share shows nothing
            traceparent=f"00-{number:032x}-{ordinal + 1:016x}-01",
            accepted_ns=due_ns,
            deadline_ms=round(due_ns / 1e6 + (pick.budget_ms or budget_ms)),
            lane=pick.lane,
        )

    def _place(self, pick: Pick) -> int:
        """Return the next place of its kind, in turn; each scanner has turns of its own."""
        key = pick.kind, pick.series
        if key not in self._turns:
            if pick.kind not in self._places:
                raise ValueError(f"no frames of kind {pick.kind!r}: {sorted(self._places)}")
            self._turns[key] = cycle(self._places[pick.kind])
        return next(self._turns[key])


def place_of(frame: FrameMessage) -> int:
    """Return the place of the sample that `Frames` made this frame of; its UID says so."""
    return int(frame.info.sop_instance_uid.removeprefix("2.25.")) & ((1 << PLACE_BITS) - 1)


def _study(phantom: Phantom) -> Iterator[tuple[FileDataset, Array]]:
    places = product(range(phantom.slices), range(phantom.phases))
    for found, (index, phase) in zip(dicom_objects(phantom), places, strict=True):
        yield found, phantom.mask(index, phase)


def _encoded(found: FileDataset, syntax: str) -> FileDataset:
    """Return the object with 12 bits stored, in another transfer syntax."""
    pixels = np.frombuffer(found.PixelData, "<i2").reshape(found.Rows, found.Columns)
    value = codecs.encoded(pixels.astype(np.uint16), syntax)
    found.BitsStored, found.HighBit, found.PixelRepresentation = 12, 11, 0
    found.file_meta.TransferSyntaxUID = UID(syntax)
    native = syntax == codecs.NATIVE
    found.PixelData = value if native else encapsulate([value])
    found["PixelData"].VR = "OW" if native else "OB"
    found["PixelData"].is_undefined_length = not native
    # text of the signed values: these two have the VR of the pixels (PS3.5 A.1)
    del found.SmallestImagePixelValue, found.LargestImagePixelValue
    return found


def _sample(found: FileDataset, mask: Array, wire_codec: str) -> Sample:
    """Read the object as the gateway does, and as pydicom does."""
    buffer = io.BytesIO()
    found.save_as(buffer, enforce_file_format=True)
    instance = read_file(buffer.getvalue(), keywords=Routes.load().keywords)
    settings = Settings()
    origin = Origin.now("/perf", "bulk", settings)
    (message,) = messages(
        instance,
        origin,
        store=_NoStore(),
        inline_limit=settings.inline_limit,
        wire_codec=wire_codec,
    )
    buffer.seek(0)
    return Sample(message, dcmread(buffer), mask)


class _NoStore:
    """Frames of a load are small enough to travel inline."""

    def put(self, key: str, data: bytes) -> str:
        """Refuse."""
        raise ValueError(f"a frame of {len(data)} bytes would travel as a claim check")
