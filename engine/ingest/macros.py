"""Rescale, window, geometry and time of each frame, from the top of a classic object and from the
functional group macros of an enhanced one (PS3.3 C.7.6.16).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from pydicom.datadict import tag_for_keyword

from engine.errors import RejectedInstance
from engine.ingest.elements import Block

LARGEST: Final = 1e12  # beyond what any attribute here can mean; areas and volumes stay finite

Fields = dict[str, Any]  # of FrameInfo


class _Attribute(NamedTuple):
    keyword: str
    values: int  # how many; 0 takes the first of any number


_TRANSFORMATION: Final = {
    "rescale_slope": _Attribute("RescaleSlope", 1),
    "rescale_intercept": _Attribute("RescaleIntercept", 1),
}
_WINDOW: Final = {
    "window_center": _Attribute("WindowCenter", 0),
    "window_width": _Attribute("WindowWidth", 0),
}
_MEASURES: Final = {
    "pixel_spacing": _Attribute("PixelSpacing", 2),
    "slice_thickness": _Attribute("SliceThickness", 1),
}
_POSITION: Final = {"image_position_patient": _Attribute("ImagePositionPatient", 3)}
_ORIENTATION: Final = {"image_orientation_patient": _Attribute("ImageOrientationPatient", 6)}
_TRIGGER: Final = {"trigger_time": _Attribute("TriggerTime", 1)}
_CLASSIC: Final = {
    **_TRANSFORMATION,
    **_WINDOW,
    **_MEASURES,
    **_POSITION,
    **_ORIENTATION,
    **_TRIGGER,
}
_MACROS: Final = {
    "PixelMeasuresSequence": _MEASURES,  # C.7.6.16.2.1
    "PlanePositionSequence": _POSITION,  # C.7.6.16.2.3
    "PlaneOrientationSequence": _ORIENTATION,  # C.7.6.16.2.4
    "CardiacSynchronizationSequence": {  # C.7.6.16.2.7
        "trigger_time": _Attribute("NominalCardiacTriggerDelayTime", 1)
    },
    "PixelValueTransformationSequence": _TRANSFORMATION,  # C.7.6.16.2.9
    "FrameVOILUTSequence": _WINDOW,  # C.7.6.16.2.10
    # what a legacy converted object keeps as it was (C.7.6.16.2.25, .26)
    "UnassignedSharedConvertedAttributesSequence": _TRIGGER,
    "UnassignedPerFrameConvertedAttributesSequence": _TRIGGER,
}
_FUNCTIONS: Final = ("LINEAR", "LINEAR_EXACT", "SIGMOID")  # PS3.3 C.11.2.1.3
_VOI: Final = ("window_center", "window_width", "voi_lut_function")
_MACRO_OF_TAG: Final = {tag_for_keyword(keyword): keyword for keyword in _MACROS}


def frame_fields(block: Block, frames: int) -> list[Fields]:
    """Return the fields of every frame: one entry for all of them where they share all.

    A frame's own functional groups go before the shared ones, these before the top of the object.
    Raise `RejectedInstance` for a value that cannot be, in any frame.
    """
    shared = _values(block, _CLASSIC)
    for group in block.items("SharedFunctionalGroupsSequence"):
        shared.update(_grouped(group))
        break
    common = _checked(shared)
    found: list[Fields] = []
    for group in block.items("PerFrameFunctionalGroupsSequence"):
        if len(found) == frames:
            raise _other_number()
        own = _grouped(group)
        found.append(_checked({**shared, **own}) if own else common)
    if found and len(found) != frames:
        raise _other_number()
    return found or [common]


def _other_number() -> RejectedInstance:
    return RejectedInstance("PerFrameFunctionalGroupsSequence does not have NumberOfFrames items")


def _grouped(group: Block) -> Fields:
    """Return what the macros of one functional group say; the first of two that say the same."""
    found: Fields = {}
    for tag in group.elements:
        macro = _MACRO_OF_TAG.get(tag)
        item = group.item(macro) if macro else None
        if macro and item is not None:
            found = {**_values(item, _MACROS[macro]), **found}
    return found


def _values(block: Block, attributes: Mapping[str, _Attribute]) -> Fields:
    """Return the attributes that are there, a tuple where there are several values."""
    found: Fields = {}
    for field, (keyword, number) in attributes.items():
        values = block.numbers(keyword)
        if not values:
            continue
        if number and len(values) != number:
            raise RejectedInstance(f"{keyword} must have {number} value(s)")
        if max(map(abs, values)) > LARGEST:
            raise RejectedInstance(f"{keyword} is too large to be true")
        found[field] = tuple(values) if number > 1 else values[0]
    if "window_center" in attributes and (function := block.text("VOILUTFunction")):
        found["voi_lut_function"] = function
    return found


def _checked(fields: Fields) -> Fields:
    """Return fields that FrameInfo can take; raise `RejectedInstance` where they cannot be."""
    if min(fields.get("pixel_spacing", (1.0,))) <= 0:
        raise RejectedInstance("PixelSpacing must be above zero")
    if fields.get("rescale_slope") == 0:
        raise RejectedInstance("RescaleSlope must not be zero")
    known = fields.get("voi_lut_function", "LINEAR") in _FUNCTIONS
    if known and fields.get("window_width", 0.0) > 0 and "window_center" in fields:
        return fields
    # no VOI window at all (PS3.3 C.11.2.1.2), or one that nobody could apply
    return {name: value for name, value in fields.items() if name not in _VOI}
