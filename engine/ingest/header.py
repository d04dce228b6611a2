"""From a data set's header to one `FrameInfo` a frame (PS3.3 C.7.6.2, C.7.6.3, C.7.6.16)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from engine.errors import RejectedInstance
from engine.ingest.elements import Block
from engine.ingest.pixels import Layout
from engine.messages import FrameInfo

MAX_WORD: Final = 128
MAX_WORDS: Final = 32

_PIXEL_DATA: Final = 0x7FE00010
_UID = re.compile(r"[0-9.]{1,64}")
_UIDS: Final = (
    ("sop_class_uid", "SOPClassUID"),
    ("sop_instance_uid", "SOPInstanceUID"),
    ("study_instance_uid", "StudyInstanceUID"),
    ("series_instance_uid", "SeriesInstanceUID"),
)
_SAMPLES_OF: Final = {
    "MONOCHROME1": 1,
    "MONOCHROME2": 1,
    "PALETTE COLOR": 1,
    "RGB": 3,
    "YBR_FULL": 3,
    "YBR_FULL_422": 3,
    "YBR_PARTIAL_420": 3,
    "YBR_PARTIAL_422": 3,
    "YBR_ICT": 3,
    "YBR_RCT": 3,
}


class _Place(NamedTuple):
    """Where an attribute of a frame is in an enhanced object (PS3.3 C.7.6.16.2)."""

    macro: str
    keyword: str
    number: int


# field of FrameInfo: at the top of a classic object (keyword, count), in an enhanced one
_NUMBERS: Final[dict[str, tuple[str, int, _Place | None]]] = {
    "rescale_slope": (
        "RescaleSlope", 1, _Place("PixelValueTransformationSequence", "RescaleSlope", 1)
    ),
    "rescale_intercept": (
        "RescaleIntercept", 1, _Place("PixelValueTransformationSequence", "RescaleIntercept", 1)
    ),
    "window_center": ("WindowCenter", 0, _Place("FrameVOILUTSequence", "WindowCenter", 0)),
    "window_width": ("WindowWidth", 0, _Place("FrameVOILUTSequence", "WindowWidth", 0)),
    "pixel_spacing": ("PixelSpacing", 2, _Place("PixelMeasuresSequence", "PixelSpacing", 2)),
    "slice_thickness": (
        "SliceThickness", 1, _Place("PixelMeasuresSequence", "SliceThickness", 1)
    ),
    "image_position_patient": (
        "ImagePositionPatient", 3, _Place("PlanePositionSequence", "ImagePositionPatient", 3)
    ),
    "image_orientation_patient": (
        "ImageOrientationPatient", 6,
        _Place("PlaneOrientationSequence", "ImageOrientationPatient", 6),
    ),
    "trigger_time": (
        "TriggerTime", 1,
        _Place("CardiacSynchronizationSequence", "NominalCardiacTriggerDelayTime", 1),
    ),
}  # fmt: skip


def uid(block: Block, keyword: str) -> str:
    """Return a UID of digits and dots, at most 64 (PS3.5 9.1).

    Leading zeros are let through: real objects have them. Anything else is refused, so that a UID
    can never be part of a path.
    """
    text = block.text(keyword)
    if not _UID.fullmatch(text):
        raise RejectedInstance(f"{keyword} is missing or is not a UID", status=0xA900)
    return text


def layout(block: Block, *, max_frame_bytes: int) -> Layout:
    """Return the size of the frames; raise `RejectedInstance` for sizes that cannot be."""
    photometric = block.text("PhotometricInterpretation")
    samples = _required(block, "SamplesPerPixel")
    if _SAMPLES_OF.get(photometric) != samples:
        raise RejectedInstance(
            "PhotometricInterpretation is missing, unknown, or disagrees with SamplesPerPixel"
        )
    frames = block.whole("NumberOfFrames")
    size = Layout(
        rows=_required(block, "Rows"),
        columns=_required(block, "Columns"),
        samples=samples,
        bits_allocated=_required(block, "BitsAllocated"),
        frames=1 if frames is None else frames,
        subsampled=photometric == "YBR_FULL_422",
    )
    if not (1 <= size.rows <= 65535 and 1 <= size.columns <= 65535):
        raise RejectedInstance("Rows and Columns must be 1 to 65535")
    if not 1 <= size.frames < 2**31 - 1:
        raise RejectedInstance("NumberOfFrames is not a number of frames")
    if size.frame_bytes > max_frame_bytes:
        raise RejectedInstance(
            f"a decoded frame would have more than {max_frame_bytes} bytes"
            " (setting `max_frame_bytes`)",
            status=0xA700,
        )
    return size


def _required(block: Block, keyword: str) -> int:
    number = block.whole(keyword)
    if number is None:
        raise RejectedInstance(f"{keyword} is missing")
    return number


def _depth(block: Block, bits_allocated: int) -> dict[str, int]:
    """Return the fields of a pixel's bits (PS3.5 8.1.1)."""
    stored = _required(block, "BitsStored")
    high = block.whole("HighBit")
    signed = _required(block, "PixelRepresentation")
    if bits_allocated not in (1, 8, 16, 32):
        raise RejectedInstance("BitsAllocated must be 1, 8, 16 or 32")
    if not 1 <= stored <= bits_allocated:
        raise RejectedInstance("BitsStored must be 1 to BitsAllocated")
    if high is not None and high != stored - 1:
        raise RejectedInstance("HighBit must be BitsStored - 1")
    if signed not in (0, 1):
        raise RejectedInstance("PixelRepresentation must be 0 or 1")
    return {
        "bits_allocated": bits_allocated,
        "bits_stored": stored,
        "high_bit": stored - 1,
        "pixel_representation": signed,
    }


def _context(block: Block, keywords: frozenset[str]) -> dict[str, Any]:
    """Return the fields beyond the pixel module that all frames of the object share."""
    return {
        "modality": block.text("Modality")[:16],
        "cardiac_number_of_images": block.whole("CardiacNumberOfImages"),
        "instance_number": block.whole("InstanceNumber"),
        "keywords": {
            keyword: value
            for keyword in sorted(keywords)
            if (value := keyword_value(block, keyword)) is not None
        },
    }


def _pixel_data_vr(block: Block) -> str:
    """Return OB or OW where the data set says it; implicit VR is always OW (PS3.5 A.1)."""
    vr = block.elements[_PIXEL_DATA].vr if block.encoding.explicit else "OW"
    return vr if vr in ("OB", "OW") else ""


class FrameInfos(Sequence[FrameInfo]):
    """One `FrameInfo` a frame, each made when asked for; index 0 is frame number 1.

    With `pixels_only` the UIDs may be missing (they are empty then) and no geometry is read.
    """

    def __init__(
        self,
        block: Block,
        size: Layout,
        transfer_syntax_uid: str,
        keywords: frozenset[str],
        *,
        pixels_only: bool = False,
    ) -> None:
        planar = block.whole("PlanarConfiguration") or 0
        if planar not in (0, 1):
            raise RejectedInstance("PlanarConfiguration must be 0 or 1")
        self._block, self._size, self._pixels_only = block, size, pixels_only
        self._common: dict[str, Any] = {
            **{field: "" if pixels_only else uid(block, keyword) for field, keyword in _UIDS},
            "transfer_syntax_uid": transfer_syntax_uid,
            "number_of_frames": size.frames,
            "rows": size.rows,
            "columns": size.columns,
            "samples_per_pixel": size.samples,
            **_depth(block, size.bits_allocated),
            "photometric_interpretation": block.text("PhotometricInterpretation"),
            "planar_configuration": planar,
            "pixel_data_vr": _pixel_data_vr(block),
            **({} if pixels_only else _context(block, keywords)),
        }
        self._shared = None if pixels_only else block.item("SharedFunctionalGroupsSequence")
        self._groups = [] if pixels_only else self._per_frame()
        # A value that cannot be is found here, before anything is stored.
        self.first: FrameInfo = self[0]
        for index in range(1, size.frames if self._groups else 1):
            self[index]

    def _per_frame(self) -> list[Block]:
        groups: list[Block] = []
        for group in self._block.items("PerFrameFunctionalGroupsSequence"):
            groups.append(group)
            if len(groups) > self._size.frames:
                break
        if groups and len(groups) != self._size.frames:
            raise RejectedInstance(
                "PerFrameFunctionalGroupsSequence does not have NumberOfFrames items"
            )
        return groups

    def __len__(self) -> int:
        return self._size.frames

    def __getitem__(self, index: Any) -> Any:
        if not 0 <= index < len(self):
            raise IndexError(index)
        if self._pixels_only:
            return FrameInfo(frame_number=index + 1, **self._common)
        group = self._groups[index] if self._groups else None
        found = {name: self._numbers(name, group) for name in _NUMBERS}
        return FrameInfo(frame_number=index + 1, **self._common, **_fields(found))

    def _numbers(self, name: str, group: Block | None) -> list[float]:
        """Look in the frame's functional groups, the shared ones, then the top of the object."""
        keyword, count, place = _NUMBERS[name]
        for functional in (group, self._shared):
            if place is None or functional is None:
                continue
            macro = functional.item(place.macro)
            if macro is not None and (values := macro.numbers(place.keyword)):
                return _counted(place.keyword, values, place.number)
        return _counted(keyword, self._block.numbers(keyword), count)


def _counted(keyword: str, values: list[float], count: int) -> list[float]:
    """Check the number of values; a count of 0 takes the first of any number."""
    if count and values and len(values) != count:
        raise RejectedInstance(f"{keyword} must have {count} value(s)")
    return values[:count] if count else values[:1]


def _fields(found: dict[str, list[float]]) -> dict[str, Any]:
    """Turn lists of values into the fields of `FrameInfo`; what is absent keeps its default."""
    if any(value <= 0 for value in found["pixel_spacing"]):
        raise RejectedInstance("PixelSpacing must be above zero")
    if found["rescale_slope"] == [0.0]:
        raise RejectedInstance("RescaleSlope must not be zero")
    fields: dict[str, Any] = {
        name: values[0] if len(values) == 1 else tuple(values)
        for name, values in found.items()
        if values
    }
    if fields.get("window_width", 0.0) <= 0:  # no VOI window at all (PS3.3 C.11.2.1.2)
        fields.pop("window_width", None)
        fields.pop("window_center", None)
    return fields


def keyword_value(block: Block, keyword: str) -> str | float | list[str | float] | None:
    """Return what routes match on: text or numbers; None when absent, binary or oversized."""
    found = block.value(keyword)
    if found is None:
        return None
    vr, _ = found
    values: list[str | float]
    if vr in ("DS", "IS", "US", "SS", "UL", "SL", "FL", "FD"):
        values = [*block.numbers(keyword)]
    else:
        values = [*block.words(keyword)]
    if not 1 <= len(values) <= MAX_WORDS or any(len(str(value)) > MAX_WORD for value in values):
        return None
    return values[0] if len(values) == 1 else values
