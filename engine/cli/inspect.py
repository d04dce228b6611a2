"""scanstream inspect: what is in DICOM files, and a checksum of their decoded pixels."""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from engine.config import Settings
from engine.decode import backend_for, decode
from engine.errors import EngineError, RejectedInstance
from engine.ingest.validate import Instance, Limits, read_file, split_file
from engine.messages import FrameInfo, FrameMessage
from engine.send import find_files

HELP = "say of each DICOM file: transfer syntax, shape, decoder, and the pixels' SHA-256"
EXAMPLE = "scanstream inspect study/ --json"


@dataclass(slots=True)
class Inspected:
    """One file. `shape` is (rows, columns) with frames in front and samples behind, where several.

    `sha256` is of all frames' stored values, raw, little-endian, before any colour or lookup table.
    """

    path: str
    ok: bool = False
    transfer_syntax: str = ""
    shape: tuple[int, ...] = ()
    dtype: str = ""
    decoder: str = ""
    sha256: str = ""
    error: str | None = None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's options."""
    parser.add_argument("paths", nargs="+", type=Path, metavar="FILE", help="file or folder")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")


def run(args: argparse.Namespace) -> int:
    """Inspect; return 1 when any file could not be decoded."""
    settings = Settings.load()
    found = []
    for path in find_files(args.paths):
        found.append(inspect(path, settings))
        if not args.json:
            print(_line(found[-1]), flush=True)
    if args.json:
        print(json.dumps({"files": [asdict(one) for one in found]}))
    return 0 if found and all(one.ok for one in found) else 1


def inspect(path: Path, settings: Settings) -> Inspected:
    """Decode every frame of one file and return what it is; an error is part of the answer."""
    found = Inspected(str(path))
    limits = Limits(
        max_object_bytes=settings.max_object_bytes, max_frame_bytes=settings.max_frame_bytes
    )
    try:
        data = _read(path, settings.max_object_bytes)
        found.transfer_syntax, _ = split_file(data)
        instance = read_file(data, limits=limits, pixels_only=True)
        first = instance.first
        found.decoder = backend_for(first.transfer_syntax_uid, first.samples_per_pixel).name
        checksum = hashlib.sha256()
        for pixels in decoded(instance, settings):
            checksum.update(pixels.astype(pixels.dtype.newbyteorder("<"), copy=False).tobytes())
        many = (len(instance),) if len(instance) > 1 else ()
        found.shape, found.dtype = (*many, *pixels.shape), str(pixels.dtype)
        found.sha256, found.ok = checksum.hexdigest(), True
    except EngineError as error:
        found.error = str(error)
    except OSError as error:
        found.error = f"cannot be read: {error.strerror}"
    return found


def _read(path: Path, limit: int) -> bytes:
    """Return what is in the file; raise `RejectedInstance` before reading one that is too large."""
    if path.stat().st_size > limit:
        raise RejectedInstance(f"the file has more than {limit} bytes (setting `max_object_bytes`)")
    return path.read_bytes()


def decoded(instance: Instance, settings: Settings) -> Iterator[np.ndarray]:
    """Yield the stored values of each frame, (rows, columns) or (rows, columns, samples)."""
    for info, value in instance:
        yield decode(_message(info, value), max_frame_bytes=settings.max_frame_bytes)


def _message(info: FrameInfo, value: bytes | memoryview) -> FrameMessage:
    return FrameMessage(
        info=info,
        value=bytes(value),
        source="/inspect",
        time="",
        traceparent="",
        accepted_ns=0,
        deadline_ms=0,
    )


def _line(found: Inspected) -> str:
    if not found.ok:
        return f"{found.path}: {found.error}"
    shape = "x".join(map(str, found.shape))
    return (
        f"{found.path}: {found.transfer_syntax} {shape} {found.dtype} by {found.decoder}, "
        f"sha256 {found.sha256}"
    )
