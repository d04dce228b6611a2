"""A gateway as a process of its own, and what tests send to it and read behind it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRecord
from dicom_objects import build, with_meta
from pydicom import Dataset
from watching import until

from engine import wire
from engine.config import Settings
from engine.messages import FRAMES, FRAMES_STAT, FrameMessage
from engine.send import SendReport, send_dicom

START_LIMIT_S = 30.0


class GatewayProcess:
    """`scanstream gateway` as a process of its own."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.settings, self._folder = settings, folder
        self.log = folder / "gateway.log"
        ready = folder / "ready"
        environ = {**os.environ, **settings.as_environ(), "SCANSTREAM_READY_FILE": str(ready)}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "engine.cli", "gateway"],
                env=environ,
                stdout=log,
                stderr=log,
            )
        until(lambda: ready.exists() or self.process.poll() is not None, START_LIMIT_S)
        assert self.process.poll() is None, self.log.read_text()

    def send(self, *sources: Path | Dataset, **options: Any) -> SendReport:
        return send_dicom(sources, self.settings.host, self.settings.port, **options)

    def when_connected(self) -> GatewayProcess:
        until(lambda: "connected to broker" in self.log.read_text(), START_LIMIT_S)
        return self

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)


Start = Callable[..., GatewayProcess]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def _records(broker: str) -> list[ConsumerRecord]:
    found: list[ConsumerRecord] = []
    consumer = AIOKafkaConsumer(
        FRAMES,
        FRAMES_STAT,
        bootstrap_servers=broker,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    await consumer.start()
    try:
        ends = await consumer.end_offsets(consumer.assignment())
        while any([await consumer.position(part) < end for part, end in ends.items()]):
            batches = await consumer.getmany(timeout_ms=1000)
            found += [record for batch in batches.values() for record in batch]
    finally:
        await consumer.stop()
    return found


def records(broker: str) -> list[ConsumerRecord]:
    """Return every record that is on the frames topics now."""
    return asyncio.run(_records(broker))


def read(broker: str, *sop_instance_uids: str) -> list[FrameMessage]:
    """Return every frame message of these objects on the topics now, out of the wire codec."""
    found: list[FrameMessage] = []
    for record in records(broker):
        message = FrameMessage.from_kafka(record.value, record.headers)
        if message.info.sop_instance_uid in sop_instance_uids:
            assert record.key == message.info.series_instance_uid.encode()
            assert record.topic == (FRAMES_STAT if message.lane == "stat" else FRAMES)
            found.append(wire.opened(message))
    return sorted(found, key=lambda message: message.info.frame_number)


def small(number: int, **changes: Any) -> Dataset:
    """Return a small object with a SOPInstanceUID of its own."""
    uid = f"1.2.826.{os.getpid()}.{number}"
    return with_meta(build(SOPInstanceUID=uid, **changes))
