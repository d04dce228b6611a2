"""The gateway with a real broker and real senders: what is acknowledged is stored and published."""

from __future__ import annotations

import hashlib
import socket
import struct
import subprocess
import warnings
from pathlib import Path

import pytest
from aiokafka import ConsumerRecord
from dicom_objects import TEST_FILES, file_of
from gateway_process import GatewayProcess, Start, read, records, small
from pydicom import Dataset, dcmread
from pydicom.encaps import generate_frames
from watching import CHECKOUT

from engine.ingest.validate import read_file
from engine.keys import object_key
from engine.messages import FrameMessage
from engine.store import LocalStore

pytestmark = pytest.mark.kafka
A_ABORT = b"\x07"  # PDU type (PS3.8 9.3.8)


@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("CT_small.dcm", "-xe"),
        ("SC_rgb_rle_2frame.dcm", "-xr"),
        ("MR_small_jp2klossless.dcm", "-xv"),
        ("JPEG-lossy.dcm", "-xx"),
        ("examples_ybr_color.dcm", "-xy"),
    ],
)
def test_dcmtk_stores_and_every_frame_is_published(
    gateway: GatewayProcess, storescu: str, name: str, option: str
) -> None:
    path = TEST_FILES / name
    port = str(gateway.settings.port)
    done = subprocess.run(
        [storescu, "-v", "-aet", "CT01", option, "127.0.0.1", port, str(path)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr + gateway.log.read_text()
    assert "Success" in done.stdout + done.stderr

    ds = dcmread(path)
    if ds.file_meta.TransferSyntaxUID.is_compressed:
        frames = list(generate_frames(ds.PixelData, number_of_frames=ds.get("NumberOfFrames", 1)))
    else:
        frames = [ds.PixelData]
    got = read(gateway.settings.broker, ds.SOPInstanceUID)
    assert [message.value for message in got] == frames
    for message in got:
        assert message.source == "/dicom/CT01"
        assert message.lane == "bulk"
        budget_ms = message.deadline_ms - message.accepted_ns // 1_000_000
        assert budget_ms == gateway.settings.bulk_budget_ms
        assert message.info.transfer_syntax_uid == ds.file_meta.TransferSyntaxUID
    stored = LocalStore(gateway.settings.store).get(object_key(ds.SOPInstanceUID))
    assert stored[:132] == bytes(128) + b"DICM"
    assert [bytes(pixels) for _, pixels in read_file(stored)] == frames


def test_files_and_data_sets_over_several_associations(gateway: GatewayProcess) -> None:
    objects = [small(n) for n in range(24)]
    done: list[None] = []
    report = gateway.send(*objects, associations=4, progress=lambda: done.append(None))
    assert report.ok, report.refused
    assert (report.sent, report.accepted, len(done)) == (24, 24, 24)
    uids = [str(ds.SOPInstanceUID) for ds in objects]
    got = read(gateway.settings.broker, *uids)
    assert sorted(message.info.sop_instance_uid for message in got) == sorted(uids)


def test_urgent_objects_take_the_stat_lane(start: Start, topic_broker: str) -> None:
    gateway = start(topic_broker, stat_ae_titles=("ER01",), stat_budget_ms=700).when_connected()
    by_title, by_priority = small(100), small(101)
    assert gateway.send(by_title, ae_title="ER01").ok
    assert gateway.send(by_priority, stat=True).ok
    got = read(topic_broker, by_title.SOPInstanceUID, by_priority.SOPInstanceUID)
    assert [message.lane for message in got] == ["stat", "stat"]
    assert got[0].deadline_ms == got[0].accepted_ns // 1_000_000 + 700


def test_large_frame_is_stored_and_claimed(start: Start, topic_broker: str) -> None:
    gateway = start(topic_broker, inline_limit=47).when_connected()
    ds = small(200)
    assert gateway.send(ds).ok
    (message,) = read(topic_broker, ds.SOPInstanceUID)
    assert message.claim is not None
    data = LocalStore(gateway.settings.store).get(message.claim.key)
    assert data == ds.PixelData
    assert message.claim.sha256 == hashlib.sha256(data).hexdigest()


def test_bad_objects_are_refused_with_the_status_and_logged_without_identifiers(
    gateway: GatewayProcess, tmp_path: Path
) -> None:
    logged = len(gateway.log.read_text())
    lying, uid = small(300), str(small(300).SOPInstanceUID)
    lying.PatientName, lying.PatientID = "SECRET^NAME", "../../SECRET"
    other = uid[:-1] + "9"
    (tmp_path / "lying.dcm").write_bytes(file_of(lying).replace(uid.encode(), other.encode(), 1))
    (tmp_path / "text.dcm").write_text("SECRET: not DICOM")
    report = gateway.send(
        small(301),
        TEST_FILES / "rtplan.dcm",
        tmp_path / "lying.dcm",
        tmp_path / "text.dcm",
        small(302, BitsAllocated=7),
        small(303),
    )
    assert report.accepted == 2
    reasons = {refusal.index: refusal.reason for refusal in report.refused}
    assert set(reasons) == {1, 2, 3, 4}
    assert reasons[1].startswith("0xA900")
    assert reasons[2].startswith("0xA900")
    assert reasons[3].startswith("not DICOM")
    assert reasons[4].startswith("0xC000")
    log = gateway.log.read_text()[logged:]
    assert log.count("refused 0x") == 3
    assert "SECRET" not in log
    assert "1.2.826." not in log


def test_n1_a_patient_id_that_is_a_path_leaves_no_trace(
    start: Start, topic_broker: str, tmp_path: Path
) -> None:
    store = tmp_path / "1" / "2" / "3" / "store"
    gateway = start(topic_broker, store=store, inline_limit=47).when_connected()
    outside = set(tmp_path.rglob("*"))
    uids = set()
    for number, patient_id in enumerate(("../../..", "../../../SECRET", "/etc/SECRET"), 350):
        ds = small(number, PatientID=patient_id, PatientName="../SECRET^NAME")
        uids.add(str(ds.SOPInstanceUID))
        assert gateway.send(ds).ok
    gateway.stop()

    made = {path for path in set(tmp_path.rglob("*")) - outside if path.is_file()}
    stored = {path.relative_to(store).as_posix() for path in made}
    keys = [object_key(uid) for uid in uids] + [object_key(f"{uid}/1") for uid in uids]
    named = {f"{key[:2]}/{key}" for key in keys}
    assert stored == named | {f"{name}.sha256" for name in named}

    ours = [one for one in records(topic_broker) if _uid(one) in uids]
    assert len(ours) == len(uids)
    for record in ours:
        traces = [record.key, record.value or b"", *(raw for _, raw in record.headers)]
        assert not [raw for raw in traces if b"../" in raw or b"SECRET" in raw]
        assert "x-claim" in dict(record.headers)
    log = gateway.log.read_text()
    assert "SECRET" not in log
    assert "../" not in log


def _uid(record: ConsumerRecord) -> str:
    return FrameMessage.from_kafka(record.value, record.headers).info.sop_instance_uid


def test_other_bytes_under_a_uid_are_refused_and_never_overwrite(
    gateway: GatewayProcess,
) -> None:
    ds, other = small(400), small(400, PixelData=bytes(48))
    assert gateway.send(ds, ds).accepted == 2
    report = gateway.send(other)
    assert list(report.statuses) == ["0xA900"]
    assert {m.value for m in read(gateway.settings.broker, ds.SOPInstanceUID)} == {ds.PixelData}
    assert len(list((gateway.settings.store / "quarantine").iterdir())) == 1


@pytest.mark.parametrize(
    "sent",
    [
        struct.pack(">BBL", 1, 0, 0xFFFFFFFF) + bytes(100_000),
        struct.pack(">BBL", 4, 0, 0xFFFFFFFF) + bytes(100_000),
        struct.pack(">BBL", 4, 0, 100) + bytes(100),
    ],
)
def test_n3_hostile_pdu_is_cut_off(gateway: GatewayProcess, sent: bytes) -> None:
    with socket.create_connection(("127.0.0.1", gateway.settings.port), timeout=5) as peer:
        try:
            peer.sendall(sent)
            answer = peer.recv(4096)
            assert answer[:1] in (b"", A_ABORT)
        except ConnectionError:
            pass  # closed while we still sent: that is the point
    assert gateway.send(small(950)).ok


@pytest.mark.data
def test_real_cine_study(gateway: GatewayProcess) -> None:
    folder = CHECKOUT.parent / "shared" / "data" / "sunnybrook-dicom"
    files = sorted(folder.rglob("*.dcm"))[:20]
    if not files:
        pytest.skip("the real cine study is not beside the checkout")
    report = gateway.send(*files, associations=2)
    assert report.ok, report.refused
    pixels = {str(ds.SOPInstanceUID): ds.PixelData for ds in map(_quiet_read, files)}
    got = read(gateway.settings.broker, *pixels)
    assert {m.info.sop_instance_uid: m.value for m in got} == pixels
    assert all(m.info.keywords.get("CardiacNumberOfImages") == 20 for m in got)
    assert all(uid not in gateway.log.read_text() for uid in pixels)


def _quiet_read(path: Path) -> Dataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return dcmread(path)
