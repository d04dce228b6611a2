"""The same frames through both ways of preprocessing, in the real workers: the same results."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer
from pydicom.uid import JPEG2000Lossless, RLELossless

from engine.demo.run import frame_ids
from engine.local.stack import LocalStack, Role
from engine.messages import RESULTS, Result
from engine.phantom import Phantom, dicom_objects
from engine.send import send_dicom

pytestmark = [pytest.mark.kafka, pytest.mark.triton]

LIMIT_S = 120.0


async def results_of(stack: LocalStack, frames: set[str], lane: str) -> dict[str, Result]:
    """Return the lane's result of every frame, by the frame's id.

    Not by `Reader`, which leaves out the second result of a frame: it has the id of the first.
    """
    found: dict[str, Result] = {}
    consumer = AIOKafkaConsumer(
        RESULTS, bootstrap_servers=stack.settings.broker, auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        async with asyncio.timeout(LIMIT_S):
            while len(found) < len(frames):
                record = await consumer.getone()
                result = msgspec.json.decode(record.value, type=Result)
                if result.lane == lane and result.frame.id in frames:
                    found[result.frame.id] = result
    finally:
        await consumer.stop()
    return found


def study(folder: Path) -> list[Path]:
    """Return the files of a phantom's objects, native and compressed without loss."""
    objects = list(dicom_objects(Phantom(seed=41, slices=3, phases=4)))
    for at, syntax in ((1, RLELossless), (2, JPEG2000Lossless)):
        objects[at].compress(syntax, generate_instance_uid=False)
    paths = [folder / f"{at}.dcm" for at in range(len(objects))]
    for path, one in zip(paths, objects, strict=True):
        one.save_as(path, enforce_file_format=True)
    return paths


@pytest.mark.parametrize("stack", ["tansu"], indirect=True)
def test_dali_and_direct_give_the_same_results(
    stack: LocalStack, send: Callable[[list[Any]], set[str]], tmp_path: Path
) -> None:
    objects = study(tmp_path)
    frames = send(objects)  # to the bulk lane, whose worker goes the direct way
    through = replace(stack.settings, preprocess="dali")
    words = ["streams", "worker", "--lane", "stat"]
    with Role("worker-dali", words, stack.folder, through) as worker:
        report = send_dicom(objects, stack.settings.host, stack.settings.port, stat=True)
        assert report.ok, report.refused
        by_dali = asyncio.run(results_of(stack, frames, "stat"))
    direct = asyncio.run(results_of(stack, frames, "bulk"))
    assert set(by_dali) == set(direct) == frame_ids(objects)
    assert any(one.findings for one in direct.values())
    for frame, one in by_dali.items():
        assert one.masks == direct[frame].masks
        assert one.findings == direct[frame].findings
        assert one.features == direct[frame].features
        assert one.quality == direct[frame].quality
        assert set(one.stages_ms) == set(direct[frame].stages_ms)
    assert "frames go through DALI" in (stack.folder / f"{worker.name}.log").read_text()
