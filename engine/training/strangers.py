"""Pictures that the model was not trained on: what an out-of-distribution score must find."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.decode import decode
from engine.demo.inputs import packaged_files
from engine.enhance import enhance, enhance_array
from engine.errors import EngineError
from engine.ingest.validate import read_file
from engine.messages import FrameInfo, FrameMessage
from engine.training.data import CHAIN, SIDE, Bytes, Slice

# An enhanced picture, uint8 (256, 256), and the shape that its frame had, (rows, columns).
Picture = tuple[Bytes, tuple[int, int]]

MAX_FRAME_BYTES = 2**26
MODALITIES = ("CT", "MR", "CR")
NOISE_FRAMES = 50
BLANK_VALUES = (0, 1, 100, 1000, 4095)
HEAVY_BLUR, LIGHT_BLUR = 6.0, 2.0  # sigma in pixels
SCANNER_STEPS = 6  # a scanner's grey levels in one of the 8-bit pictures


def spoiled(slices: Sequence[Slice]) -> dict[str, list[Picture]]:
    """Return real slices made strange: blurred, inverted, upside down."""
    return {
        "hearts, blurred": _enhanced(blurred(one.pixels, HEAVY_BLUR) for one in slices),
        "hearts, blurred lightly": _enhanced(blurred(one.pixels, LIGHT_BLUR) for one in slices),
        "hearts, inverted": _enhanced(255 - one.pixels for one in slices),
        "hearts, upside down": _enhanced(np.flipud(one.pixels).copy() for one in slices),
    }


def artificial(seed: int) -> dict[str, list[Picture]]:
    """Return noise of 12 bits, uniform and Gaussian, and frames of one value."""
    rng, shape = np.random.default_rng((seed, 13)), (SIDE, SIDE)
    uniform = (rng.integers(0, 4096, shape) for _ in range(NOISE_FRAMES))
    gaussian = (np.clip(rng.normal(2000, 400, shape), 0, 4095) for _ in range(NOISE_FRAMES))
    return {
        "noise, uniform": _enhanced(uniform),
        "noise, Gaussian": _enhanced(gaussian),
        "blank": _enhanced(np.full(shape, value) for value in BLANK_VALUES),
    }


def packaged() -> list[Picture]:
    """Return the CT, MR and CR frames of pydicom and, where installed, pydicom-data.

    Those that decode, each picture once; the same picture through a lossy codec is another.
    """
    paths = packaged_files()
    extra = importlib.util.find_spec("data_store")  # the module of pydicom-data
    if extra is not None and extra.origin is not None:
        paths += sorted((Path(extra.origin).parent / "data").glob("*.dcm"))
    pictures = (picture for path in paths for picture in dicom_pictures(path, MODALITIES))
    return list({picture[0].tobytes(): picture for picture in pictures}.values())


def dicom_pictures(path: Path, modalities: Sequence[str]) -> Iterator[Picture]:
    """Yield the enhanced frames of one file; none where it is refused or of another modality."""
    try:
        for info, pixels in dicom_frames(path.read_bytes()):
            if info.modality in modalities:
                yield enhance(pixels, info, CHAIN), (info.rows, info.columns)
    except EngineError:  # the gateway or the worker refuses it too: it reaches no model
        return


def dicom_frames(data: bytes) -> Iterator[tuple[FrameInfo, NDArray[Any]]]:
    """Yield the header and the decoded pixels of each frame of a DICOM file, as the engine does.

    Raises `RejectedInstance` or `DecodeFailed`.
    """
    for info, value in read_file(data):
        yield info, decode(_message(info, value), max_frame_bytes=MAX_FRAME_BYTES)


def blurred(pixels: Bytes, sigma: float) -> NDArray[np.float64]:
    """Convolve with a Gaussian (sigma in pixels), the edges repeated, in a scanner's steps."""
    reach = int(4 * sigma)
    taps = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    found: NDArray[np.float64] = np.pad(pixels.astype(float), reach, mode="edge")
    for axis in (0, 1):
        found = np.apply_along_axis(np.convolve, axis, found, taps / taps.sum(), mode="valid")
    return found * SCANNER_STEPS


def _enhanced(frames: Iterator[NDArray[Any]]) -> list[Picture]:
    return [
        (enhance_array(np.rint(pixels).astype(np.int16), CHAIN), (SIDE, SIDE)) for pixels in frames
    ]


def _message(info: FrameInfo, value: bytes | memoryview) -> FrameMessage:
    return FrameMessage(
        info=info,
        value=bytes(value),
        source="/training",
        time="",
        traceparent="",
        accepted_ns=0,
        deadline_ms=0,
    )
