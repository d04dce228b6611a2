"""Enhanced objects: each frame carries its own rescale, window, geometry and time."""

from __future__ import annotations

import warnings
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from dicom_objects import BIG_ENDIAN, EXPLICIT, IMPLICIT, build, encode
from pydicom import Dataset, dcmread

from engine.errors import RejectedInstance
from engine.ingest.elements import Block
from engine.ingest.macros import frame_fields
from engine.ingest.validate import read_file, read_instance
from engine.ingest.walk import Budget, Encoding
from engine.messages import FrameInfo

SHARED = {
    "PixelMeasures": {"PixelSpacing": [1.5, 1.25], "SliceThickness": 8},
    "PlaneOrientation": {"ImageOrientationPatient": [1, 0, 0, 0, 1, 0]},
    "FrameVOILUT": {"WindowCenter": [40, 50], "WindowWidth": [400, 500]},
}


def group(**macros: dict[str, Any]) -> Dataset:
    """Return a functional group: one item that holds the macros, each of one item."""
    made = Dataset()
    for name, values in macros.items():
        item = Dataset()
        for keyword, value in values.items():
            setattr(item, keyword, value)
        setattr(made, f"{name}Sequence", [item])
    return made


def enhanced(per_frame: list[Dataset], shared: Dataset | None = None, **changes: Any) -> Dataset:
    frames = len(per_frame)
    ds = build(NumberOfFrames=frames, Rows=1, Columns=8, PixelData=bytes(16 * frames), **changes)
    if shared is not None:
        ds.SharedFunctionalGroupsSequence = [shared]
    ds.PerFrameFunctionalGroupsSequence = per_frame
    return ds


def infos(ds: Dataset, syntax: str = EXPLICIT) -> list[FrameInfo]:
    return [info for info, _ in read_instance(encode(ds, syntax), syntax)]


def all_of_them(number: int) -> Dataset:
    return group(
        PixelMeasures={"PixelSpacing": [number, 2 * number], "SliceThickness": 3 * number},
        PlanePosition={"ImagePositionPatient": [0, 0, number]},
        PlaneOrientation={"ImageOrientationPatient": [1, 0, 0, 0, 0, number]},
        CardiacSynchronization={"NominalCardiacTriggerDelayTime": 10.0 * number},
        PixelValueTransformation={"RescaleSlope": number, "RescaleIntercept": -number},
        FrameVOILUT={"WindowCenter": number, "WindowWidth": 5 * number},
    )


def undefine(ds: Dataset) -> None:
    """Have all sequences and items below written without their lengths."""
    ds.is_undefined_length_sequence_item = True
    for element in ds:
        if element.VR == "SQ":
            element.is_undefined_length = True
            for item in element.value:
                undefine(item)


@pytest.mark.parametrize("undefined_length", [False, True])
@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG_ENDIAN])
def test_each_frame_has_its_own(syntax: str, undefined_length: bool) -> None:
    ds = enhanced([all_of_them(number) for number in (1, 2, 3)])
    if undefined_length:
        undefine(ds)
    for number, info in enumerate(infos(ds, syntax), start=1):
        assert info.frame_number == number
        assert info.pixel_spacing == (number, 2 * number)
        assert info.slice_thickness == 3 * number
        assert info.image_position_patient == (0, 0, number)
        assert info.image_orientation_patient == (1, 0, 0, 0, 0, number)
        assert info.trigger_time == 10 * number
        assert (info.rescale_slope, info.rescale_intercept) == (number, -number)
        assert (info.window_center, info.window_width) == (number, 5 * number)


def test_own_groups_go_before_shared_ones_and_these_before_the_top() -> None:
    own = group(PixelMeasures={"PixelSpacing": [3, 3]})
    ds = enhanced([own, Dataset()], group(**SHARED), PixelSpacing=[9, 9], RescaleSlope=7)
    first, second = infos(ds)
    assert (first.pixel_spacing, second.pixel_spacing) == ((3, 3), (1.5, 1.25))
    assert first.slice_thickness == second.slice_thickness == 8
    assert first.image_orientation_patient == second.image_orientation_patient == (1, 0, 0, 0, 1, 0)
    assert (first.window_center, first.window_width) == (40, 400)
    assert first.rescale_slope == second.rescale_slope == 7


def test_time_of_a_legacy_converted_object() -> None:
    """What has no macro of its own stays as it was, in one of these two (C.7.6.16.2.25, .26)."""
    per_frame = [
        group(UnassignedPerFrameConvertedAttributes={"TriggerTime": time}) for time in (5, 6)
    ]
    shared = group(UnassignedSharedConvertedAttributes={"TriggerTime": 4})
    assert [info.trigger_time for info in infos(enhanced(per_frame, shared))] == [5, 6]
    assert infos(enhanced([Dataset()], shared))[0].trigger_time == 4


def test_half_a_window_is_none() -> None:
    ds = enhanced([group(FrameVOILUT={"WindowWidth": 4}), group(FrameVOILUT={"WindowCenter": 4})])
    assert {(info.window_center, info.window_width) for info in infos(ds)} == {(None, None)}


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
def test_the_function_of_a_window_comes_with_it(function: str) -> None:
    window = {"WindowCenter": 4, "WindowWidth": 8}
    own = group(FrameVOILUT={**window, "VOILUTFunction": function})
    first, second = infos(enhanced([own, group(FrameVOILUT=window)]))
    assert (first.voi_lut_function, second.voi_lut_function) == (function, "LINEAR")


def test_a_window_of_an_unknown_function_is_none() -> None:
    voi = {"WindowCenter": 4, "WindowWidth": 8, "VOILUTFunction": "CUBIC"}
    (info,) = infos(enhanced([group(FrameVOILUT=voi)]))
    assert (info.window_center, info.window_width, info.voi_lut_function) == (None, None, "LINEAR")


def test_groups_are_read_once() -> None:
    """A frame's fields are kept: to list the frames does not read the header again."""
    instance = read_instance(encode(enhanced([all_of_them(1)] * 3)), EXPLICIT)
    assert instance.infos[2].pixel_spacing is instance.infos[2].pixel_spacing


def test_what_has_no_length_is_walked_through_once() -> None:
    """So that an object of thousands of such frames does not exhaust its budget."""
    frames = 20
    ds = enhanced([all_of_them(1)] * frames)
    undefine(ds)
    budget = Budget(steps=100 * frames)
    data = memoryview(encode(ds))
    block = Block(data, Encoding(explicit=True, little=True), 0, len(data), budget)
    assert len(frame_fields(block, frames)) == frames


@pytest.mark.parametrize(
    ("macro", "values", "words"),
    [
        ("PixelMeasures", {"PixelSpacing": [0, 1]}, "PixelSpacing must be above zero"),
        ("PixelMeasures", {"PixelSpacing": 1}, "PixelSpacing must have 2"),
        ("PlanePosition", {"ImagePositionPatient": [1, 2]}, "ImagePositionPatient must have 3"),
        ("PixelValueTransformation", {"RescaleSlope": 0}, "RescaleSlope must not be zero"),
    ],
)
@pytest.mark.parametrize("place", [0, 2, "shared"])
def test_a_value_that_cannot_be_is_found_in_any_frame(
    macro: str, values: dict[str, Any], words: str, place: int | str
) -> None:
    bad, groups = group(**{macro: values}), [Dataset(), Dataset(), Dataset()]
    if isinstance(place, int):
        groups[place] = bad
    with pytest.raises(RejectedInstance, match=words):
        read_instance(encode(enhanced(groups, bad if place == "shared" else None)), EXPLICIT)


@pytest.mark.parametrize("count", [1, 3])
def test_another_number_of_groups_than_of_frames_is_refused(count: int) -> None:
    ds = enhanced([Dataset(), Dataset()])
    ds.PerFrameFunctionalGroupsSequence = [Dataset()] * count
    with pytest.raises(RejectedInstance, match="NumberOfFrames items"):
        read_instance(encode(ds), EXPLICIT)


@pytest.mark.parametrize("name", ["eCT_Supplemental.dcm", "liver.dcm", "liver_expb.dcm"])
def test_real_objects_as_pydicom_reads_them(name: str) -> None:
    packages = (resources.files("pydicom"), resources.files("data_store"))
    (path,) = (found for one in packages for found in Path(str(one)).rglob(name))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ds = dcmread(path)
        wanted = [
            one.PlanePositionSequence[0].ImagePositionPatient
            for one in ds.PerFrameFunctionalGroupsSequence
        ]
    instance = read_file(path.read_bytes())
    assert len(wanted) == len(instance) > 1
    got = [info.image_position_patient for info, _ in instance]
    assert got == [tuple(map(float, one)) for one in wanted]
    assert len(set(got)) > 1
    assert instance.first.pixel_spacing is not None
