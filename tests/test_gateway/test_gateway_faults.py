"""The gateway while the broker, the store or it itself fails: nothing acknowledged is lost."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from dicom_objects import EXPLICIT, build
from gateway_process import START_LIMIT_S, Start, read, small
from pynetdicom import AE
from pynetdicom.sop_class import Verification
from watching import until

from engine.ingest.validate import read_file
from engine.keys import object_key
from engine.local.broker import Broker
from engine.send import NotSent
from engine.store import LocalStore

pytestmark = pytest.mark.kafka


def test_store_that_cannot_be_written_answers_out_of_resources(
    start: Start, topic_broker: str, tmp_path: Path
) -> None:
    (tmp_path / "store").write_bytes(b"a file in the way")
    gateway = start(topic_broker).when_connected()
    ds = small(500)
    assert list(gateway.send(ds).statuses) == ["0xA700"]
    assert read(topic_broker, ds.SOPInstanceUID) == []
    (tmp_path / "store").unlink()
    assert gateway.send(ds).ok


def test_broker_that_is_away_answers_out_of_resources_until_it_is_there(
    start: Start, own_broker: Callable[[], Broker]
) -> None:
    broker = own_broker()
    address = broker.address
    broker.stop()
    gateway = start(address, confirm_timeout_s=2.0, backoff_max_s=0.5)
    assert list(gateway.send(small(600)).statuses) == ["0xA700"]
    own_broker()
    gateway.when_connected()
    assert gateway.send(small(600), small(601)).ok


def test_broker_that_stands_still_loses_nothing_acknowledged(
    start: Start, own_broker: Callable[[], Broker]
) -> None:
    broker = own_broker()
    assert broker.pid is not None
    gateway = start(broker.address, confirm_timeout_s=1.0, backoff_max_s=0.5).when_connected()
    objects, halfway = [small(n) for n in range(700, 760)], threading.Event()
    count = iter(range(len(objects)))

    def progress() -> None:
        if next(count) == 20:
            halfway.set()

    def stall() -> None:
        halfway.wait(START_LIMIT_S)
        os.kill(broker.pid or 0, signal.SIGSTOP)

    stalling = threading.Thread(target=stall)
    stalling.start()
    try:
        report = gateway.send(*objects[:24], progress=progress)
    finally:
        stalling.join()
        os.kill(broker.pid, signal.SIGCONT)
    assert set(report.statuses) == {"0x0000", "0xA700"}
    until(lambda: gateway.send(objects[59]).ok, START_LIMIT_S)

    refused = {refusal.index for refusal in report.refused}
    accepted = {str(objects[n].SOPInstanceUID) for n in range(24) if n not in refused}
    assert accepted <= {m.info.sop_instance_uid for m in read(broker.address, *accepted)}
    store = LocalStore(gateway.settings.store)
    assert all(store.exists(object_key(uid)) for uid in accepted)


def test_broker_killed_and_back_without_its_data(
    start: Start, own_broker: Callable[[], Broker]
) -> None:
    broker = own_broker()
    gateway = start(broker.address, confirm_timeout_s=2.0, backoff_max_s=0.5).when_connected()
    assert gateway.send(small(800)).ok
    broker.stop()
    assert list(gateway.send(small(801)).statuses) == ["0xA700"]
    broker = own_broker()
    until(lambda: gateway.send(small(801)).ok, START_LIMIT_S)
    assert len(read(broker.address, str(small(801).SOPInstanceUID))) >= 1


def test_sigkill_loses_nothing_acknowledged(start: Start, topic_broker: str) -> None:
    gateway = start(topic_broker).when_connected()
    objects = [small(n) for n in range(1000, 1040)]
    accepted: list[str] = []
    for ds in objects:
        if len(accepted) == 15:
            threading.Timer(0.01, gateway.process.kill).start()
        try:
            if not gateway.send(ds).ok:
                break
        except NotSent:
            break
        accepted.append(str(ds.SOPInstanceUID))
    assert 15 <= len(accepted) < 40
    published = {message.info.sop_instance_uid for message in read(topic_broker, *accepted)}
    assert published == set(accepted)
    store = LocalStore(gateway.settings.store)
    for ds in objects[: len(accepted)]:
        ((_, pixels),) = read_file(store.get(object_key(str(ds.SOPInstanceUID))))
        assert bytes(pixels) == ds.PixelData


def test_sigterm_ends_it_with_an_association_open(start: Start, topic_broker: str) -> None:
    gateway = start(topic_broker).when_connected()
    ae = AE()
    ae.add_requested_context(Verification)
    ae.add_requested_context(build().SOPClassUID, EXPLICIT)
    association = ae.associate("127.0.0.1", gateway.settings.port, ae_title="SCANSTREAM")
    assert association.send_c_echo().Status == 0x0000
    assert association.send_c_store(small(900)).Status == 0x0000
    assert gateway.stop() == 0
    association.join(10)
    assert not association.is_established
