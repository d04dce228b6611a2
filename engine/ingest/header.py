"""From a data set's header to one `FrameInfo` a frame (PS3.3 C.7.6.2, C.7.6.3, C.7.6.16)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from engine.errors import RejectedInstance
from engine.ingest.elements import MAX_VALUE_BYTES, Block
from engine.ingest.macros import frame_fields
from engine.ingest.palette import palette
from engine.ingest.pixels import Layout
from engine.messages import FrameInfo, Palette

MAX_FRAMES: Final = 1 << 18
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
    if not 1 <= size.frames <= MAX_FRAMES:
        raise RejectedInstance(f"NumberOfFrames must be 1 to {MAX_FRAMES}")
    if size.decoded_bytes > max_frame_bytes:
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


def _palette(block: Block) -> Palette | None:
    is_palette = block.text("PhotometricInterpretation") == "PALETTE COLOR"
    return palette(block) if is_palette else None


class FrameInfos(Sequence[FrameInfo]):
    """One `FrameInfo` a frame, each made when asked for; index 0 is frame number 1.

    The fields that a frame has of its own are read and checked at once, and kept.

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
            "palette": None if pixels_only else _palette(block),
        }
        self._frames = size.frames
        # A value that cannot be is found here, before anything is stored.
        self._fields = [{}] if pixels_only else frame_fields(block, size.frames)
        self.first: FrameInfo = self[0]

    def __len__(self) -> int:
        return self._frames

    def __getitem__(self, index: Any) -> Any:
        if not 0 <= index < len(self):
            raise IndexError(index)
        fields = self._fields[index if len(self._fields) > 1 else 0]
        return FrameInfo(frame_number=index + 1, **self._common, **fields)


def keyword_value(block: Block, keyword: str) -> str | float | list[str | float] | None:
    """Return what routes match on: text or numbers; None when absent, binary or oversized."""
    found = block.value(keyword)
    if found is None or len(found[1]) > MAX_VALUE_BYTES:
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
