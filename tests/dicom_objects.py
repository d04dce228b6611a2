"""Small DICOM objects for tests: built whole, then spoiled by the test that needs it."""

from __future__ import annotations

import struct
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.filewriter import write_dataset
from pydicom.uid import UID

EXPLICIT = "1.2.840.10008.1.2.1"
IMPLICIT = "1.2.840.10008.1.2"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
DEFLATED = "1.2.840.10008.1.2.1.99"
RLE = "1.2.840.10008.1.2.5"
JPEG = "1.2.840.10008.1.2.4.50"
JPEG_2000 = "1.2.840.10008.1.2.4.90"
MR = "1.2.840.10008.5.1.4.1.1.4"

TEST_FILES = Path(pydicom.__file__).parent / "data" / "test_files"


def build(**changes: Any) -> Dataset:
    """Return an MR image of 4 x 6 pixels, 12 of 16 bits; a change of None removes an element."""
    ds = Dataset()
    values: dict[str, Any] = {
        "SOPClassUID": MR,
        "SOPInstanceUID": "1.2.3.4.5",
        "StudyInstanceUID": "1.2.3",
        "SeriesInstanceUID": "1.2.3.4",
        "Modality": "MR",
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": 4,
        "Columns": 6,
        "BitsAllocated": 16,
        "BitsStored": 12,
        "HighBit": 11,
        "PixelRepresentation": 0,
        "PixelData": bytes(range(48)),
        **changes,
    }
    for keyword, value in values.items():
        if value is not None:
            setattr(ds, keyword, value)
    if "PixelData" in ds:
        ds["PixelData"].VR = "OW"
    return ds


def encode(ds: Dataset, transfer_syntax_uid: str = EXPLICIT) -> bytes:
    """Return the encoded data set, without file meta information."""
    uid = UID(transfer_syntax_uid)
    stream = pydicom.filebase.DicomBytesIO()
    stream.is_implicit_VR = uid.is_implicit_VR
    stream.is_little_endian = uid.is_little_endian
    if uid.is_compressed and "PixelData" in ds:
        ds["PixelData"].VR = "OB"
        ds["PixelData"].is_undefined_length = True
    write_dataset(stream, ds)
    return bytes(stream.getvalue())


def file_of(ds: Dataset, transfer_syntax_uid: str = EXPLICIT) -> bytes:
    """Return the object as a DICOM file (PS3.10)."""
    with_meta(ds, transfer_syntax_uid)
    stream = BytesIO()
    pydicom.dcmwrite(stream, ds, enforce_file_format=True)
    return stream.getvalue()


def with_meta(ds: Dataset, transfer_syntax_uid: str = EXPLICIT) -> Dataset:
    """Give the data set the file meta information that sending needs."""
    ds.file_meta = FileMetaDataset()
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    ds.file_meta.TransferSyntaxUID = UID(transfer_syntax_uid)
    return ds


def fragments(*parts: bytes, table: bytes = b"", end: bool = True) -> bytes:
    """Return encapsulated pixel data (PS3.5 A.4) of these fragments, just as they are."""
    items = [b"\xfe\xff\x00\xe0" + struct.pack("<L", len(part)) + part for part in (table, *parts)]
    return b"".join(items) + (b"\xfe\xff\xdd\xe0\0\0\0\0" if end else b"")


def spoil(data: bytes, old: bytes, new: bytes) -> bytes:
    """Replace bytes that must be there once."""
    assert data.count(old) == 1
    return data.replace(old, new)
