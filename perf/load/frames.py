"""The frames of a load: the phantom's, as a modality sends them and as the gateway publishes them.

Each is encoded once, before anything is measured. A run sends them again and again, every time as
a new object of one of a few series, so that all partitions of the topic are used.
"""

from __future__ import annotations

import io
import time
from collections.abc import Iterator, Sequence
from itertools import count, cycle, product
from typing import Any, NamedTuple

import msgspec
import numpy as np
from pydicom import FileDataset, dcmread
from pydicom.encaps import encapsulate
from pydicom.uid import UID

from engine.config import Settings
from engine.ingest.frames import Origin, messages
from engine.ingest.validate import read_file
from engine.messages import FrameMessage
from engine.phantom import Phantom, dicom_objects
from engine.routes import Routes
from perf.baselines import decode as codecs

Array = np.ndarray[Any, np.dtype[Any]]
SERIES = 16
MIXED = (codecs.RLE, codecs.JPEG + "70", codecs.JPEG + "90", codecs.NATIVE)
SLICES, PHASES = 5, 4


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


class Frames:
    """Endless frames, each a new object: the samples in turn, dealt to `series` series."""

    def __init__(self, samples: Sequence[FrameMessage], *, series: int = SERIES) -> None:
        if not samples:
            raise ValueError("a load needs at least one frame")
        self._samples = samples
        self._series = series
        # 2.25. and a number below 2^128 (PS3.5 B.2); no two runs share one
        self._numbers = count(time.time_ns() << 32)

    def next(self, due_ns: int, budget_ms: float) -> tuple[int, FrameMessage]:
        """Return a frame accepted at `due_ns` (Unix), and its sample's place."""
        number = next(self._numbers)
        ordinal = number & 0xFFFFFFFF
        place = ordinal % len(self._samples)
        sample = self._samples[place]
        info = msgspec.structs.replace(
            sample.info,
            sop_instance_uid=f"2.25.{number}",
            series_instance_uid=f"2.25.{1 + ordinal % self._series}",
        )
        return place, msgspec.structs.replace(
            sample,
            info=info,
            accepted_ns=due_ns,
            deadline_ms=round(due_ns / 1e6 + budget_ms),
        )


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
