"""Frames in every transfer syntax, as messages for us and as data sets for pydicom.

The frame is the phantom's: 512 x 512, 16 bits allocated, 12 stored, with a scanner's noise, and
with dither, so that all 4,096 values occur. Encoders are those of imagecodecs and pydicom.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import imagecodecs
import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.encoders.base import get_encoder
from pydicom.uid import UID

from engine.messages import FrameInfo, FrameMessage
from engine.phantom import Phantom

Array = np.ndarray[Any, np.dtype[Any]]
SIDE, DEPTH = 512, 12
JPEG = "1.2.840.10008.1.2.4."
NATIVE, RLE = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.5"
BASELINE, EXTENDED = JPEG + "50", JPEG + "51"


def frames(count: int = 4, *, depth: int = DEPTH) -> list[Array]:
    """Return frames, uint16 or uint8 (512, 512), `depth` bits stored."""
    phantom, rng = Phantom(slices=count, phases=2, seed=11, size=SIDE), np.random.default_rng(11)
    stacked = np.stack([phantom.image(index, 0) for index in range(count)]).astype(float)
    dithered = stacked + rng.random(stacked.shape)
    scaled = dithered * ((1 << depth) - 1) / dithered.max()
    return list(scaled.astype(np.uint16 if depth > 8 else np.uint8))


def depth_of(syntax: str) -> int:
    """Return the bits stored in the frames of a transfer syntax: 8 where it has no more."""
    return 8 if syntax == BASELINE else DEPTH


def encoded(pixels: Array, syntax: str) -> bytes:
    """Return one frame in a transfer syntax: lossless, or as its usual encoder has it."""
    return bytes(_encoders()[syntax](pixels))


def _encoders() -> dict[str, Callable[[Array], Any]]:
    j2k: dict[str, Any] = {"codecformat": "j2k", "bitspersample": DEPTH}
    lossless: dict[str, Any] = {"lossless": True, "bitspersample": DEPTH}
    return {
        NATIVE: lambda pixels: pixels.tobytes(),
        RLE: lambda pixels: _by_pydicom(pixels, RLE, "pylibjpeg"),
        BASELINE: lambda pixels: imagecodecs.jpeg8_encode(pixels, level=90),
        EXTENDED: lambda pixels: imagecodecs.jpeg8_encode(pixels, level=90, bitspersample=DEPTH),
        JPEG + "57": lambda pixels: imagecodecs.jpeg8_encode(pixels, predictor=6, **lossless),
        JPEG + "70": lambda pixels: imagecodecs.jpeg8_encode(pixels, predictor=1, **lossless),
        JPEG + "80": lambda pixels: _by_pydicom(pixels, JPEG + "80", "pyjpegls"),
        JPEG + "81": lambda pixels: imagecodecs.jpegls_encode(pixels, level=2),
        JPEG + "90": lambda pixels: imagecodecs.jpeg2k_encode(pixels, reversible=True, **j2k),
        JPEG + "91": lambda pixels: imagecodecs.jpeg2k_encode(pixels, level=60, **j2k),
        JPEG + "201": lambda pixels: imagecodecs.htj2k_encode(pixels, reversible=True),
        JPEG + "202": lambda pixels: imagecodecs.htj2k_encode(pixels, reversible=True, tlm=True),
        JPEG + "203": lambda pixels: imagecodecs.htj2k_encode(pixels, reversible=False),
    }


LOSSY = frozenset({BASELINE, EXTENDED, JPEG + "81", JPEG + "91", JPEG + "203"})
SYNTAXES = tuple(_encoders())


def _module(pixels: Array, syntax: str) -> dict[str, Any]:
    return {
        "rows": pixels.shape[0],
        "columns": pixels.shape[1],
        "samples_per_pixel": 1,
        "bits_allocated": pixels.itemsize * 8,
        "bits_stored": depth_of(syntax),
        "pixel_representation": 0,
        "photometric_interpretation": "MONOCHROME2",
    }


def _by_pydicom(pixels: Array, syntax: str, plugin: str) -> bytes:
    options = {"number_of_frames": 1, "encoding_plugin": plugin, **_module(pixels, syntax)}
    return get_encoder(syntax).encode(pixels, **options)


def message(pixels: Array, syntax: str) -> FrameMessage:
    """Return the frame as it comes to the worker."""
    module = _module(pixels, syntax)
    info = FrameInfo(
        sop_class_uid="1.2.840.10008.5.1.4.1.1.4",
        sop_instance_uid="2.25.1",
        study_instance_uid="2.25.2",
        series_instance_uid="2.25.3",
        frame_number=1,
        transfer_syntax_uid=syntax,
        high_bit=module["bits_stored"] - 1,
        **module,
    )
    return FrameMessage(
        info=info,
        value=encoded(pixels, syntax),
        source="/perf",
        time="",
        traceparent="",
        accepted_ns=0,
        deadline_ms=0,
    )


def dataset(frame: FrameMessage) -> Dataset:
    """Return the same frame as pydicom has it after reading a file."""
    info, found = frame.info, Dataset()
    found.file_meta = FileMetaDataset()
    found.file_meta.TransferSyntaxUID = UID(info.transfer_syntax_uid)
    found.Rows, found.Columns, found.SamplesPerPixel = info.rows, info.columns, 1
    found.BitsAllocated, found.BitsStored = info.bits_allocated, info.bits_stored
    found.HighBit, found.PixelRepresentation = info.high_bit, 0
    found.PhotometricInterpretation = info.photometric_interpretation
    native = info.transfer_syntax_uid == NATIVE
    found.PixelData = frame.value if native else encapsulate([frame.value])
    found["PixelData"].VR = "OW" if native else "OB"
    found["PixelData"].is_undefined_length = not native
    return found


def plugins(syntax: str) -> tuple[str, ...]:
    """Return pydicom's plug-ins that can decode a transfer syntax here; "" for native."""
    return tuple(get_decoder(syntax).available_plugins) or ("",)


def pixel_array(found: Dataset, plugin: str) -> Array:
    """Return `found.pixel_array` by one plug-in, decoded anew: its cache is emptied."""
    found._pixel_array, found._pixel_id = None, {}
    if plugin:
        found.pixel_array_options(decoding_plugin=plugin)
    return found.pixel_array
