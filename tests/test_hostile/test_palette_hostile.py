"""D6: palettes that point outside themselves, at the gateway and where indices are looked up."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from dicom_objects import EXPLICIT, build, encode
from hostile_objects import refused
from pydicom import Dataset

from engine.enhance import enhance
from engine.errors import EnhanceFailed
from engine.ingest.validate import read_instance
from engine.messages import FrameInfo, Palette

pytestmark = pytest.mark.usefixtures("quiet_libraries", "quick_and_small")


def palette_object(**changes: Any) -> Dataset:
    """Return an object with three tables of 256 entries; change them by their keyword's end."""
    parts = {"Descriptor": [256, 0, 16], "Data": bytes(512), **changes}
    ds = build(PhotometricInterpretation="PALETTE COLOR")
    for colour in ("Red", "Green", "Blue"):
        for part, vr in (("Descriptor", "US"), ("Data", "OW")):
            keyword = f"{colour}PaletteColorLookupTable{part}"
            if parts[part] is not None:
                setattr(ds, keyword, parts[part])
                ds[keyword].VR = vr
    return ds


@pytest.mark.parametrize(
    "changes",
    [
        {"Descriptor": [0, 0, 16]},  # 65,536 entries, in 512 bytes
        {"Descriptor": [65535, 65535, 16]},
        {"Descriptor": [257, 0, 8]},
        {"Descriptor": [255, 0, 8]},
        {"Descriptor": [256, 0, 0]},
        {"Descriptor": [256, 0, 65535]},
        {"Descriptor": [256, 0]},
        {"Descriptor": None},
        {"Data": b""},
        {"Data": b"ab"},
        {"Data": bytes(1_000_000)},
        {"Data": None},
    ],
)
def test_d6_a_descriptor_out_of_range(changes: dict[str, Any]) -> None:
    """CVE-2026-5443, CVE-2026-5445: sizes that the tables do not have."""
    refused(encode(palette_object(**changes)), match="PaletteColorLookupTable")


def test_d6_descriptors_that_differ() -> None:
    ds = palette_object()
    ds.BluePaletteColorLookupTableDescriptor = [256, 9, 16]
    ds["BluePaletteColorLookupTableDescriptor"].VR = "US"
    refused(encode(ds), match="three descriptors must be the same")


def test_d6_a_descriptor_of_another_vr() -> None:
    ds = palette_object()
    ds["RedPaletteColorLookupTableDescriptor"].VR = "UL"
    refused(encode(ds), match="wrong VR")


def info_of(**changes: Any) -> FrameInfo:
    return msgspec.structs.replace(
        read_instance(encode(palette_object()), EXPLICIT).first, **changes
    )


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16])
@pytest.mark.parametrize("first", [-32768, 0, 200, 65535])
def test_d6_an_index_out_of_range_takes_the_end_of_the_table(dtype: type, first: int) -> None:
    limits = np.iinfo(dtype)
    indices = np.linspace(limits.min, limits.max, 24).astype(dtype).reshape(4, 6)
    table = bytes(range(256))
    palette = Palette(first=first, red=table, green=table, blue=table)
    wanted = np.clip(indices.astype(int) - first, 0, 255).astype(np.uint8)
    grey = info_of(photometric_interpretation="MONOCHROME2", palette=None)
    np.testing.assert_array_equal(
        enhance(indices, info_of(palette=palette), "cine"), enhance(wanted, grey, "cine")
    )


def test_d6_tables_that_differ_in_length_or_are_not_there() -> None:
    """A message may say what the gateway never does."""
    frame = np.zeros((4, 6), np.uint8)
    palette = Palette(first=0, red=bytes(256), green=bytes(255), blue=bytes(256))
    with pytest.raises(EnhanceFailed, match="differ in length"):
        enhance(frame, info_of(palette=palette), "cine")
    with pytest.raises(EnhanceFailed, match="PALETTE COLOR"):
        enhance(frame, info_of(palette=None), "cine")
