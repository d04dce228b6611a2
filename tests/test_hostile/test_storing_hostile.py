"""D1: what the gateway stores is a DICOM file and nothing else, whatever the sender's file was."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from dicom_objects import build, file_of

from engine.config import Settings
from engine.ingest.intake import Intake
from engine.ingest.scp import Gateway
from engine.ingest.validate import read_file
from engine.keys import object_key
from engine.messages import FrameMessage
from engine.send import send_dicom
from engine.store import LocalStore

pytestmark = pytest.mark.usefixtures("quiet_libraries", "quick_and_small")


class Published:
    """A publisher that confirms everything."""

    def __init__(self) -> None:
        self.messages: list[FrameMessage] = []

    def publish(self, messages: Iterable[FrameMessage]) -> int:
        before = len(self.messages)
        self.messages += messages
        return len(self.messages) - before


@pytest.fixture
def published() -> Published:
    return Published()


@pytest.fixture
def gateway(tmp_path: Path, published: Published) -> Iterator[Gateway]:
    """A gateway that listens, in this process."""
    settings = Settings(port=_free_port())
    gateway = Gateway(settings, Intake(settings, LocalStore(tmp_path / "store"), published))
    gateway.start()
    yield gateway
    gateway.drain()


@pytest.mark.parametrize(
    "preamble", [b"MZ\x90\0", b"\x7fELF\x02\x01\x01", b"#!/bin/sh\nrm -rf /tmp/x\nexit\n"]
)
def test_d1_a_preamble_that_runs_is_zeroed_on_storing(
    preamble: bytes, gateway: Gateway, published: Published, tmp_path: Path
) -> None:
    """CVE-2019-11687: a DICOM file that is a program, too."""
    file, ds = tmp_path / "both.dcm", build()
    file.write_bytes(preamble.ljust(128, b"\0") + file_of(ds)[128:])
    assert read_file(file.read_bytes()).first.rows == 4
    assert send_dicom([file], "127.0.0.1", gateway.port).ok
    store = tmp_path / "store"
    stored = LocalStore(store).get(object_key(ds.SOPInstanceUID))
    assert stored[:132] == bytes(128) + b"DICM"
    assert len(published.messages) == 1
    files = [path for path in store.rglob("*") if path.is_file()]
    assert not [path for path in files if path.read_bytes().startswith(preamble)]
    assert not [path for path in files if path.stat().st_mode & 0o111]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
