"""Ejection fractions from scanner to topic, beside the truth, and the alerts that follow."""

from __future__ import annotations

import asyncio
import csv
import json
import re
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import Dataset

from engine.config import Settings
from engine.local.stack import LocalStack
from engine.phantom import Phantom, dicom_objects
from engine.results import Reader
from engine.series import ALERTS, SERIES, Alert, SeriesMeasures

pytestmark = [pytest.mark.kafka, pytest.mark.triton, pytest.mark.slow]

WITHIN = 10.0  # points of ejection fraction
LIMIT_S = 120.0

Send = Callable[[list[Any]], set[str]]


async def measured(settings: Settings, series: str, frames: int) -> SeriesMeasures:
    """Wait for the record of a series that was made from so many frames."""
    async with (
        asyncio.timeout(LIMIT_S),
        Reader(settings, SERIES, SeriesMeasures, follow=True) as records,
    ):
        async for record in records:
            if record.series_instance_uid == series and record.frames == frames:
                return record
    raise AssertionError


async def alerts(settings: Settings, series: str, checkout: Path) -> set[str]:
    """Return the kinds of a series' alerts about the whole of it."""
    kinds = set()
    async with Reader(settings, ALERTS, Alert, follow=False) as found:
        async for alert in found:
            validator(checkout, "alert").validate(json.loads(msgspec.json.encode(alert)))
            if alert.series_instance_uid == series and alert.frame is None:
                kinds.add(alert.kind)
    return kinds


def validator(checkout: Path, name: str) -> Any:
    schema = json.loads((checkout / "docs" / "schemas" / f"{name}.v1.json").read_text())
    return jsonschema.Draft202012Validator(schema)


def check(stack: LocalStack, objects: list[Dataset], truth: float, name: str) -> set[str]:
    """Compare the published ejection fraction with the truth; return the kinds of alerts."""
    checkout = Path(__file__).resolve().parents[2]
    series = str(objects[0].SeriesInstanceUID)
    record = asyncio.run(measured(stack.settings, series, len(objects)))
    validator(checkout, "series").validate(json.loads(msgspec.json.encode(record)))
    assert record.ejection_fraction is not None
    print(f"{name}: ejection fraction {record.ejection_fraction:.1f} %, truth {truth:.1f} %")
    assert record.ejection_fraction == pytest.approx(truth, abs=WITHIN)
    return asyncio.run(alerts(stack.settings, series, checkout))


@pytest.mark.parametrize("ejection_fraction", [25.0, 45.0, 65.0])
def test_a_phantom(stack: LocalStack, send: Send, ejection_fraction: float) -> None:
    phantom = Phantom(ejection_fraction=ejection_fraction, slices=8, phases=8, seed=41)
    objects = list(dicom_objects(phantom))
    send(objects)
    truth = phantom.true_ejection_fraction
    kinds = check(stack, objects, truth, f"phantom of {ejection_fraction:.0f} %")
    assert ("low-ejection-fraction" in kinds) == (ejection_fraction < 40)
    if ejection_fraction > 50:
        assert kinds == set()


def test_the_series_app_is_killed_in_mid_study(stack: LocalStack, send: Send) -> None:
    phantom = Phantom(ejection_fraction=55.0, slices=6, phases=8, seed=42)
    objects = list(dicom_objects(phantom))
    assert stack.series is not None
    send(objects[:20])
    stack.series.kill()
    stack.series.restart()
    send(objects[20:])
    check(stack, objects, phantom.true_ejection_fraction, "phantom, series app killed")


def test_a_late_frame_and_a_repeat(stack: LocalStack, send: Send) -> None:
    phantom = Phantom(ejection_fraction=60.0, slices=6, phases=4, seed=43)
    objects = list(dicom_objects(phantom))
    send([*objects[1:], *objects[5:9]])
    series = str(objects[0].SeriesInstanceUID)
    first = asyncio.run(measured(stack.settings, series, len(objects) - 1))
    assert not first.complete
    send(objects[:1])
    second = asyncio.run(measured(stack.settings, series, len(objects)))
    assert second.complete
    assert second.id != first.id


@pytest.fixture(scope="module")
def sunnybrook(checkout: Path) -> Path:
    """The folder of real cine-MR beside the checkout."""
    folder = checkout.parent / "shared" / "data"
    if not (folder / "sunnybrook-dicom").exists():
        pytest.skip("the real cine-MR data is not beside the checkout")
    return folder


def contoured(data: Path, folder: str, subject: str) -> list[tuple[Dataset, float]]:
    """Return a subject's frames of slices with two contours, each with its true area in mm²."""
    slices = defaultdict(list)
    for label in sorted((data / "sunnybrook" / "labels").glob(f"{subject}-IM-*.png")):
        number = re.search(r"IM-\d+-(\d+)", label.name)
        assert number is not None
        path = data / "sunnybrook-dicom" / "dicoms" / folder / f"{int(number[1])}.dcm"
        dataset = dcmread(path)
        pixels = np.count_nonzero(np.asarray(Image.open(label).convert("L")))
        row, column = dataset.PixelSpacing
        slices[tuple(dataset.ImagePositionPatient)].append((dataset, pixels * row * column))
    return [frame for frames in slices.values() if len(frames) == 2 for frame in frames]


def true_ejection_fraction(frames: list[tuple[Dataset, float]]) -> float:
    """Return the ejection fraction of the contours: areas summed by phase (equal distances)."""
    slices = defaultdict(list)
    for dataset, area in frames:
        slices[tuple(dataset.ImagePositionPatient)].append((float(dataset.TriggerTime), area))
    phases = np.array([[area for _, area in sorted(ones)] for ones in slices.values()])
    volumes = phases.sum(axis=0)
    return float(100 * (1 - volumes.min() / volumes.max()))


@pytest.mark.data
@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
@pytest.mark.parametrize("number", range(5))
def test_a_real_heart(stack: LocalStack, send: Send, sunnybrook: Path, number: int) -> None:
    with (sunnybrook / "sunnybrook-dicom" / "link.csv").open() as file:
        folder, original = list(csv.reader(file))[1 + number]
    subject = re.sub(r"-(\d)$", r"-0\1", original)
    frames = contoured(sunnybrook, folder, subject)
    assert frames
    objects = [dataset for dataset, _ in frames]
    send(objects)
    kinds = check(stack, objects, true_ejection_fraction(frames), folder)
    assert "low-ejection-fraction" in kinds
