"""What the demo streams: a folder of the user's, or the phantom and what pydicom ships."""

from __future__ import annotations

import contextlib
import json
import warnings
from dataclasses import dataclass, field
from itertools import count, islice
from pathlib import Path

import pydicom.data
from pydicom import dcmread
from pydicom.dataset import Dataset

from engine.errors import EngineError
from engine.phantom import Phantom, dicom_objects, truth

# Low, mildly reduced, normal: the range that a cardiologist tells apart.
EJECTION_FRACTIONS = (45.0, 25.0, 65.0)


@dataclass(slots=True)
class Inputs:
    """DICOM objects to send, and the ejection fractions that are known beforehand.

    `expected` maps a SeriesInstanceUID to a percentage; `guests` are the real files that ride
    along with the phantom; a few of them are not right and will be refused.
    """

    objects: list[Path | Dataset]
    guests: list[Path | Dataset] = field(default_factory=list)
    expected: dict[str, float] = field(default_factory=dict)


def from_folder(path: Path) -> Inputs:
    """Return every file under `path`, with the truth of a `truth.json` beside them."""
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    known = {file.name: file for file in files}
    expected = {}
    if "truth.json" in known:
        stated = json.loads(known["truth.json"].read_text())
        expected[stated["series"]] = float(stated["ejection_fraction"])
    objects: list[Path | Dataset] = [file for file in files if file.suffix != ".json"]
    if not objects:
        raise EngineError(f"no files under {path}: give a DICOM file or a folder of them")
    return Inputs(objects, expected=expected)


def phantoms(frames: int) -> Inputs:
    """Return at least one phantom study, `frames` objects in all, and pydicom's own files."""
    inputs = Inputs([])
    for seed in count(1):
        ejection_fraction = EJECTION_FRACTIONS[(seed - 1) % len(EJECTION_FRACTIONS)]
        phantom = Phantom(ejection_fraction=ejection_fraction, seed=seed)
        left = frames - len(inputs.objects)
        inputs.objects.extend(islice(dicom_objects(phantom), left))
        if left >= phantom.slices * phantom.phases:  # a part of a heart has no known volume
            known = truth(phantom)
            inputs.expected[known["series"]] = known["ejection_fraction"]
        if len(inputs.objects) >= frames:
            break
    inputs.guests.extend(packaged_files())
    return inputs


def packaged_files() -> list[Path]:
    """Return pydicom's own image files: one for each SOPInstanceUID, without the broken ones.

    They come in most transfer syntaxes. Those that pydicom ships to test its own error handling
    have no place in a demonstration; the tests send them.
    """
    folder = Path(pydicom.data.__file__).parent / "test_files"
    chosen: dict[str, Path] = {}
    for path in sorted(folder.glob("*.dcm")):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with contextlib.suppress(Exception):  # pydicom raises anything on the broken ones
                header = dcmread(path, stop_before_pixels=True)
                if "Rows" in header and header.StudyInstanceUID and header.SOPClassUID:
                    chosen.setdefault(str(header.SOPInstanceUID), path)
    return list(chosen.values())
