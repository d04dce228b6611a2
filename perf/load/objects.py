"""Frames as DICOM objects: each sample is encoded once; a new object of it costs two UIDs."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import UID

from engine import wire
from engine.messages import FrameInfo, FrameMessage
from perf.load.frames import INSTANCE_LIKE, SERIES_LIKE

Piece = bytes | memoryview
_PIXEL_DATA = b"\xe0\x7f\x10\x00"  # (7FE0,0010), the last element

_DIFFERENT = {"keywords", "frame_number", "palette", "transfer_syntax_uid", "pixel_data_vr"}
_UPPER = {"sop": "SOP", "uid": "UID", "voi": "VOI", "lut": "LUT"}


class Template:
    """An encoded sample in which SOPInstanceUID and SeriesInstanceUID can be replaced.

    The UIDs of `Frames` are all of one length, so that no other byte has to change.
    """

    def __init__(self, sample: FrameMessage) -> None:
        self.sop_class_uid = sample.info.sop_class_uid
        self.transfer_syntax_uid = sample.info.transfer_syntax_uid
        info = replace(sample.info, sop_instance_uid=INSTANCE_LIKE, series_instance_uid=SERIES_LIKE)
        data = encoded(replace(sample, info=info))
        # the header is small and copied for every object, the pixels never
        cut = data.index(_PIXEL_DATA)
        self._head, self._tail = data[:cut], memoryview(data)[cut:]
        self._instance = self._place(INSTANCE_LIKE)
        self._series = self._place(SERIES_LIKE)

    def pieces(self, frame: FrameMessage) -> list[Piece]:
        """Return the data set of a frame made of this sample: its bytes are those in a row."""
        head = bytearray(self._head)
        for (start, stop), uid in (
            (self._instance, frame.info.sop_instance_uid),
            (self._series, frame.info.series_instance_uid),
        ):
            value = uid_bytes(uid)
            if len(value) != stop - start:
                raise ValueError(f"a UID of {len(value)} bytes in a place of {stop - start}")
            head[start:stop] = value
        return [memoryview(head), self._tail]

    def _place(self, uid: str) -> tuple[int, int]:
        """Return where a UID's value begins and ends."""
        value = uid_bytes(uid)
        if self._head.count(value) != 1:
            raise ValueError(f"the encoded header does not hold {uid} once")
        start = self._head.index(value)
        return start, start + len(value)


def uid_bytes(uid: str) -> bytes:
    """Return a UID as it is encoded, padded to an even length (PS3.5 9.1)."""
    value = uid.encode("ascii")
    return value + b"\0" * (len(value) % 2)


def encoded(frame: FrameMessage) -> bytes:
    """Return a frame as a data set in its transfer syntax, without file meta information.

    It says what the frame's header says and what the routes match on, and no more. Raises
    ValueError for one that does not hold its pixels, has a palette, or is not the only frame.
    """
    info = frame.info
    if frame.claim is not None or info.palette is not None or info.number_of_frames != 1:
        raise ValueError(f"frame {frame.id}: no claim, palette or multi-frame object is made here")
    pixels = bytes(wire.opened(frame).value)
    syntax = UID(info.transfer_syntax_uid)
    found = _described(info)
    found.PixelData = encapsulate([pixels]) if syntax.is_encapsulated else pixels + _pad(pixels)
    found["PixelData"].VR = "OW" if _is_words(info, syntax) else "OB"
    found["PixelData"].is_undefined_length = syntax.is_encapsulated
    stream = DicomBytesIO()
    stream.is_implicit_VR, stream.is_little_endian = syntax.is_implicit_VR, True
    write_dataset(stream, found)
    return bytes(stream.getvalue())


def _described(info: FrameInfo) -> Dataset:
    found = Dataset()
    for name in FrameInfo.__struct_fields__:
        value: Any = getattr(info, name)
        if name not in _DIFFERENT and value is not None and value != "":
            _set(found, _keyword(name), value)
    for keyword, value in info.keywords.items():
        _set(found, keyword, value)
    if info.samples_per_pixel == 1:
        del found.PlanarConfiguration  # only with more than one (PS3.3 C.7.6.3.1.3)
    for keyword in ("PatientName", "PatientID", "StudyDate", "StudyTime", "AccessionNumber"):
        setattr(found, keyword, None)
    return found


def _set(found: Dataset, keyword: str, value: Any) -> None:
    if isinstance(value, tuple):
        value = list(value)
    setattr(found, keyword, value)


def _keyword(name: str) -> str:
    """Return the DICOM keyword of a field's name."""
    return "".join(_UPPER.get(word, word.capitalize()) for word in name.split("_"))


def _is_words(info: FrameInfo, syntax: UID) -> bool:
    """True where pixels are OW (PS3.5 A.1, A.2, A.4)."""
    return not syntax.is_encapsulated and (info.bits_allocated > 8 or bool(syntax.is_implicit_VR))


def _pad(pixels: bytes) -> bytes:
    return b"\0" * (len(pixels) % 2)
