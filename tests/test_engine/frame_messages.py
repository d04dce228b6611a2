"""Frame messages for tests, straight from arrays and from pydicom's data sets."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from pydicom import Dataset
from pydicom.encaps import generate_frames

from engine.messages import FrameInfo, FrameMessage

EXPLICIT_LE = "1.2.840.10008.1.2.1"


def frame(value: bytes, **given) -> FrameMessage:
    """Return a message with `value` as its pixels; `given` are fields of `FrameInfo`."""
    bits = given.get("bits_stored", given.get("bits_allocated", 16))
    module = {
        "sop_class_uid": "1.2.840.10008.5.1.4.1.1.4",
        "sop_instance_uid": "2.25.1",
        "study_instance_uid": "2.25.2",
        "series_instance_uid": "2.25.3",
        "frame_number": 1,
        "transfer_syntax_uid": EXPLICIT_LE,
        "bits_allocated": 16,
        "bits_stored": bits,
        "high_bit": bits - 1,
        "photometric_interpretation": "MONOCHROME2",
        **given,
    }
    return FrameMessage(
        info=FrameInfo(**module),
        value=value,
        source="test",
        time="2026-01-01T00:00:00Z",
        traceparent="",
        accepted_ns=0,
        deadline_ms=0,
    )


def messages_of(ds: Dataset) -> Iterator[FrameMessage]:
    """Yield one message a frame, as the gateway makes them."""
    syntax = ds.file_meta.TransferSyntaxUID
    count = int(ds.get("NumberOfFrames", 1) or 1)
    given = {
        "number_of_frames": count,
        "transfer_syntax_uid": str(syntax),
        "rows": ds.Rows,
        "columns": ds.Columns,
        "samples_per_pixel": ds.SamplesPerPixel,
        "bits_allocated": ds.BitsAllocated,
        "bits_stored": ds.BitsStored,
        "high_bit": ds.HighBit,
        "pixel_representation": ds.PixelRepresentation,
        "photometric_interpretation": ds.PhotometricInterpretation,
        "planar_configuration": ds.get("PlanarConfiguration", 0) or 0,
        "pixel_data_vr": ds["PixelData"].VR,
    }
    for number, value in enumerate(_values(ds, count), start=1):
        yield frame(value, frame_number=number, **given)


def _values(ds: Dataset, count: int) -> Iterator[bytes]:
    if ds.file_meta.TransferSyntaxUID.is_encapsulated:
        yield from generate_frames(ds.PixelData, number_of_frames=count)
        return
    bits = ds.Rows * ds.Columns * ds.SamplesPerPixel * ds.BitsAllocated
    if ds.PhotometricInterpretation == "YBR_FULL_422":
        bits = bits // 3 * 2
    swapped = not ds.file_meta.TransferSyntaxUID.is_little_endian and ds["PixelData"].VR == "OW"
    unit = 16 if swapped and ds.BitsAllocated == 8 else 8
    for index in range(count):
        first, stop = index * bits // unit, -(-(index + 1) * bits // unit)
        yield ds.PixelData[first * unit // 8 : stop * unit // 8]


def message_of(value: bytes, pixels: np.ndarray, syntax: str, bits: int, **module) -> FrameMessage:
    """Return the frame that `pixels` were encoded to."""
    colour = pixels.ndim == 3
    return frame(
        bytes(value),
        rows=pixels.shape[0],
        columns=pixels.shape[1],
        samples_per_pixel=3 if colour else 1,
        bits_allocated=pixels.itemsize * 8,
        bits_stored=bits,
        photometric_interpretation="RGB" if colour else "MONOCHROME2",
        transfer_syntax_uid=syntax,
        **module,
    )
