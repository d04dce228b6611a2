"""PALETTE COLOR: the tables travel with the frame, and enhancing looks them up as pydicom does."""

from __future__ import annotations

import tracemalloc
from importlib import resources
from pathlib import Path

import msgspec
import numpy as np
import pytest
from dicom_objects import EXPLICIT, build, encode
from pydicom import Dataset, dcmread
from pydicom.pixels import apply_color_lut

from engine.cli.inspect import decoded
from engine.config import Settings
from engine.enhance import _looked_up, enhance
from engine.errors import EnhanceFailed
from engine.ingest.palette import MAX_ENTRIES
from engine.ingest.validate import read_file, read_instance
from engine.messages import FrameInfo, Palette

COLOURS = ("Red", "Green", "Blue")


def palette_object(entries: int, first: int, bits: int, tables: list[bytes]) -> Dataset:
    """Return an object of 4 x 6 indices whose three tables are these."""
    ds = build(PhotometricInterpretation="PALETTE COLOR")
    for colour, table in zip(COLOURS, tables, strict=True):
        setattr(ds, f"{colour}PaletteColorLookupTableDescriptor", [entries % 65536, first, bits])
        ds[f"{colour}PaletteColorLookupTableDescriptor"].VR = "US"
        setattr(ds, f"{colour}PaletteColorLookupTableData", table)
        ds[f"{colour}PaletteColorLookupTableData"].VR = "OW"
    return ds


def info_of(ds: Dataset) -> FrameInfo:
    return read_instance(encode(ds), EXPLICIT).first


@pytest.mark.parametrize("name", ["examples_palette.dcm", "OBXXXX1A.dcm", "OBXXXX1A_rle.dcm"])
def test_real_palettes_look_as_pydicom_makes_them(name: str) -> None:
    packages = (resources.files("pydicom"), resources.files("data_store"))
    (path,) = (found for one in packages for found in Path(str(one)).rglob(name))
    instance = read_file(path.read_bytes())
    (indices,) = decoded(instance, Settings())
    rgb = (apply_color_lut(indices, dcmread(path)) >> 8).astype(np.uint8)
    changes = {"photometric_interpretation": "RGB", "samples_per_pixel": 3, "palette": None}
    colour = msgspec.structs.replace(instance.first, **changes)
    wanted = enhance(rgb, colour, "cine")
    np.testing.assert_array_equal(enhance(indices, instance.first, "cine"), wanted)


@pytest.mark.parametrize(
    ("bits", "tables"),
    [
        (8, [bytes([1, 2, 3, 4])] * 3),
        (8, [bytes([1, 0, 2, 0, 3, 0, 4, 0])] * 3),  # 8 bits in words
        (16, [bytes([9, 1, 9, 2, 9, 3, 9, 4])] * 3),
    ],
)
def test_entries_of_8_and_16_bits(bits: int, tables: list[bytes]) -> None:
    palette = info_of(palette_object(4, 100, bits, tables)).palette
    one = bytes([1, 2, 3, 4])
    assert palette == Palette(first=100, red=one, green=one, blue=one)


def test_odd_tables_are_padded() -> None:
    palette = info_of(palette_object(3, 0, 8, [b"abc\0", b"def\0", b"ghi\0"])).palette
    assert palette == Palette(first=0, red=b"abc", green=b"def", blue=b"ghi")


def test_tables_of_older_objects() -> None:
    """As US, and without the byte that makes their length even."""
    ds = palette_object(4, 0, 16, [b""] * 3)
    for colour in COLOURS:
        ds[f"{colour}PaletteColorLookupTableData"].VR = "US"
        setattr(ds, f"{colour}PaletteColorLookupTableData", [0x109, 0x209, 0x309, 0x409])
    one = bytes([1, 2, 3, 4])
    assert info_of(ds).palette == Palette(first=0, red=one, green=one, blue=one)
    data = encode(palette_object(3, 0, 8, [b"abc\0"] * 3))
    odd = data.replace(b"OW\0\0\4\0\0\0abc\0", b"OW\0\0\3\0\0\0abc")
    palette = read_instance(odd, EXPLICIT).first.palette
    assert palette == Palette(first=0, red=b"abc", green=b"abc", blue=b"abc")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16])
def test_looking_up_takes_little_memory(dtype: type[np.generic]) -> None:
    """A frame may have 256 MiB: no indices of eight bytes are made of it."""
    palette = Palette(first=2, red=b"ab", green=b"ab", blue=b"ab")
    indices = np.arange(512 * 512).reshape(512, 512).astype(dtype)
    wanted = np.where(indices <= 2, ord("a"), ord("b"))
    np.testing.assert_allclose(_looked_up(indices, palette), wanted, rtol=1e-6)
    tracemalloc.start()
    _looked_up(indices, palette)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5 * indices.size


@pytest.mark.parametrize("entries", [MAX_ENTRIES + 1, 65536])
def test_large_tables_stay_behind_and_enhancing_says_so(entries: int) -> None:
    info = info_of(palette_object(entries, 0, 16, [bytes(2 * entries)] * 3))
    assert info.palette is None
    with pytest.raises(EnhanceFailed, match="a palette in the message"):
        enhance(np.zeros((4, 6), np.uint16), info, "cine")


def test_segmented_tables_stay_behind() -> None:
    ds = palette_object(256, 0, 16, [bytes(512)] * 3)
    for colour in COLOURS:
        del ds[f"{colour}PaletteColorLookupTableData"]
        setattr(ds, f"Segmented{colour}PaletteColorLookupTableData", bytes(6))
        ds[f"Segmented{colour}PaletteColorLookupTableData"].VR = "OW"
    assert info_of(ds).palette is None
