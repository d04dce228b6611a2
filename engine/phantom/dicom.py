"""The phantom as MR Image Storage objects (PS3.3 A.4), without a patient."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import FileDataset
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, MRImageStorage

from engine.phantom.heart import Phantom

HEARTBEAT_MS = 900.0
THICKNESS_MM = 8.0
ROW, COLUMN = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0)  # ImageOrientationPatient: an axial frame


def uid(phantom: Phantom, *parts: object) -> UID:
    """Return a `2.25.` UID (PS3.5 B.2) that follows from the phantom's arguments and `parts`."""
    words = ("scanstream phantom", *_arguments(phantom), *parts)
    digest = hashlib.sha256("\n".join(map(str, words)).encode()).digest()
    return UID(f"2.25.{int.from_bytes(digest[:16], 'big')}")


def truth(phantom: Phantom) -> dict[str, Any]:
    """Return what `truth.json` holds: the series, its ejection fraction (%) and volumes (ml)."""
    return {
        "series": uid(phantom, "series"),
        "ejection_fraction": round(phantom.true_ejection_fraction, 3),
        "volumes_ml": [round(volume, 3) for volume in phantom.volumes_ml],
    }


def dicom_objects(phantom: Phantom) -> Iterator[FileDataset]:
    """Yield one object a frame, slice by slice, phases in order, ready to be sent or saved."""
    for index in range(phantom.slices):
        for phase in range(phantom.phases):
            yield _object(phantom, index, phase)


def write_dicom(phantom: Phantom, folder: Path) -> list[Path]:
    """Write the objects as `0001.dcm` and on, and `truth.json` beside them; return the former."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, found in enumerate(dicom_objects(phantom), start=1):
        path = folder / f"{number:04d}.dcm"
        found.save_as(path, enforce_file_format=True)
        paths.append(path)
    (folder / "truth.json").write_text(json.dumps(truth(phantom), indent=2) + "\n")
    return paths


def _arguments(phantom: Phantom) -> tuple[object, ...]:
    return (
        *(float(phantom.ejection_fraction), phantom.slices, phantom.phases, phantom.seed),
        *(phantom.papillary, float(phantom.noise), phantom.size),
    )


def _object(phantom: Phantom, index: int, phase: int) -> FileDataset:
    instance = uid(phantom, "instance", index, phase)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = MRImageStorage
    meta.MediaStorageSOPInstanceUID = instance
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    found = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    found.SOPClassUID = MRImageStorage
    found.SOPInstanceUID = instance
    found.StudyInstanceUID = uid(phantom, "study")
    found.SeriesInstanceUID = uid(phantom, "series")
    found.FrameOfReferenceUID = uid(phantom, "frame of reference")
    found.InstanceNumber = index * phantom.phases + phase + 1
    _describe(found)
    _place(found, phantom, index)
    found.TriggerTime = f"{HEARTBEAT_MS * phase / phantom.phases:.2f}"
    found.NominalInterval = int(HEARTBEAT_MS)
    found.CardiacNumberOfImages = phantom.phases
    _fill_pixels(found, phantom.image(index, phase))
    return found


def _describe(found: Dataset) -> None:
    """Set what says how it was made and that nobody was imaged. Type 2 attributes stay empty."""
    found.Modality = "MR"
    found.Manufacturer = "scanstream"
    found.SeriesDescription = "beating heart phantom, short axis"
    found.ImageType = ["DERIVED", "SECONDARY", "PHANTOM"]
    found.PatientIdentityRemoved = "YES"
    found.DeidentificationMethod = "computed, no person was imaged"
    found.SeriesNumber = 1
    found.ScanningSequence = "GR"
    found.SequenceVariant = "SS"
    found.ScanOptions = "CG"
    found.MRAcquisitionType = "2D"
    for keyword in _EMPTY:
        setattr(found, keyword, None)


_EMPTY = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyID", "AccessionNumber"),
    *("StudyDate", "StudyTime", "ReferringPhysicianName", "EchoTime", "EchoTrainLength"),
    *("RepetitionTime", "PositionReferenceIndicator"),
)


def _place(found: Dataset, phantom: Phantom, index: int) -> None:
    """Set the geometry (PS3.3 C.7.6.2): slices stacked along the normal, base first."""
    corner = -(phantom.size - 1) / 2 * phantom.spacing_mm
    depth = index * phantom.slice_distance_mm
    found.PixelSpacing = [f"{phantom.spacing_mm:.6f}"] * 2
    found.SliceThickness = f"{min(THICKNESS_MM, phantom.slice_distance_mm):.3f}"
    found.SpacingBetweenSlices = f"{phantom.slice_distance_mm:.4f}"
    found.SliceLocation = f"{depth:.4f}"
    found.ImagePositionPatient = [f"{corner:.4f}", f"{corner:.4f}", f"{depth:.4f}"]
    found.ImageOrientationPatient = [*ROW, *COLUMN]


def _fill_pixels(found: Dataset, pixels: np.ndarray[Any, np.dtype[np.int16]]) -> None:
    """Set the pixel module (PS3.3 C.7.6.3): signed, 16 bits, little-endian."""
    found.Rows, found.Columns = pixels.shape
    found.SamplesPerPixel = 1
    found.PhotometricInterpretation = "MONOCHROME2"
    found.BitsAllocated = found.BitsStored = 16
    found.HighBit = 15
    found.PixelRepresentation = 1
    found.SmallestImagePixelValue = int(pixels.min())
    found.LargestImagePixelValue = int(pixels.max())
    found.PixelData = pixels.astype("<i2").tobytes()
