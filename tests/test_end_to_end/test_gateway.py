"""The gateway with a real broker and real senders: what is acknowledged is stored and published."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer
from dicom_objects import EXPLICIT, TEST_FILES, build, file_of, with_meta
from pydicom import Dataset, dcmread
from pydicom.encaps import generate_frames
from pynetdicom import AE
from pynetdicom.sop_class import Verification
from watching import CHECKOUT, until

from engine.cli import main
from engine.config import Settings
from engine.ingest.frames import object_key
from engine.ingest.validate import read_file
from engine.local.broker import Broker
from engine.messages import FRAMES, FRAMES_STAT, FrameMessage
from engine.send import NotSent, SendReport, send_dicom
from engine.store import LocalStore
from streams import topics

pytestmark = pytest.mark.kafka

START_LIMIT_S = 30.0
A_ABORT = b"\x07"  # PDU type (PS3.8 9.3.8)


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


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start gateways; whatever the test does, none is left."""
    started: list[GatewayProcess] = []

    def begin(broker: str, **given: Any) -> GatewayProcess:
        settings = Settings(broker=broker, port=_free_port(), store=tmp_path / "store", **given)
        started.append(GatewayProcess(settings, tmp_path))
        return started[-1]

    yield begin
    for gateway in started:
        gateway.process.kill()
        gateway.process.wait()


@pytest.fixture(scope="module")
def topic_broker(broker: str) -> str:
    """The session's broker, with the topics."""
    asyncio.run(topics.ensure(Settings(broker=broker)))
    return broker


@pytest.fixture(scope="module")
def gateway(
    topic_broker: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GatewayProcess]:
    """One gateway for the tests that need nothing special."""
    folder = tmp_path_factory.mktemp("gateway")
    settings = Settings(broker=topic_broker, port=_free_port(), store=folder / "store")
    made = GatewayProcess(settings, folder).when_connected()
    yield made
    assert made.stop() == 0


@pytest.fixture
def own_broker(
    tmp_path: Path, start_or_skip: Callable[[Broker], None]
) -> Iterator[Callable[[], Broker]]:
    """Start a broker, with its topics, that the test may kill."""
    broker = Broker(tmp_path / "broker", port=_free_port())

    def begin() -> Broker:
        start_or_skip(broker)
        asyncio.run(topics.ensure(Settings(broker=broker.address)))
        return broker

    yield begin
    if broker.pid is not None:
        broker.stop()


async def _read(broker: str, sop_instance_uids: set[str]) -> list[FrameMessage]:
    """Return every frame message of these objects that is on the topics now."""
    found: list[FrameMessage] = []
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
            for record in (record for batch in batches.values() for record in batch):
                message = FrameMessage.from_kafka(record.value, record.headers)
                if message.info.sop_instance_uid in sop_instance_uids:
                    assert record.key == message.info.series_instance_uid.encode()
                    assert record.topic == (FRAMES_STAT if message.lane == "stat" else FRAMES)
                    found.append(message)
    finally:
        await consumer.stop()
    return sorted(found, key=lambda message: message.info.frame_number)


def read(broker: str, *sop_instance_uids: str) -> list[FrameMessage]:
    return asyncio.run(_read(broker, set(sop_instance_uids)))


def small(number: int, **changes: Any) -> Dataset:
    """Return a small object with a SOPInstanceUID of its own."""
    uid = f"1.2.826.{os.getpid()}.{number}"
    return with_meta(build(SOPInstanceUID=uid, **changes))


@pytest.fixture
def storescu() -> str:
    """DCMTK's sender, another implementation than the gateway's."""
    found = shutil.which("storescu")
    if found is None:
        assert os.environ.get("CI") != "true", "DCMTK is not installed: apt-get install dcmtk"
        pytest.skip("DCMTK's storescu is not installed: apt-get install dcmtk")
    return found


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


def test_other_bytes_under_a_uid_are_refused_and_never_overwrite(
    gateway: GatewayProcess,
) -> None:
    ds, other = small(400), small(400, PixelData=bytes(48))
    assert gateway.send(ds, ds).accepted == 2
    report = gateway.send(other)
    assert list(report.statuses) == ["0xA900"]
    assert {m.value for m in read(gateway.settings.broker, ds.SOPInstanceUID)} == {ds.PixelData}
    assert len(list((gateway.settings.store / "quarantine").iterdir())) == 1


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


def test_send_command_tells_what_was_refused(
    gateway: GatewayProcess, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = tmp_path / "in" / "good.dcm", tmp_path / "in" / "text.txt"
    good.parent.mkdir()
    good.write_bytes(file_of(small(1100)))
    address = f"127.0.0.1:{gateway.settings.port}"
    command = ["send", str(tmp_path / "in"), "--address", address, "--json", "--repeat", "3"]
    assert main([*command, "--rate", "50"]) == 0
    bad.write_text("not DICOM")
    assert main(command) == 1
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert (first["sent"], first["accepted"], first["refused"]) == (3, 3, [])
    assert first["seconds"] >= 2 / 50
    assert second["accepted"] == 3
    assert {refusal["path"] for refusal in second["refused"]} == {str(bad)}


def test_send_command_publishes_to_kafka_as_the_gateway_does(
    topic_broker: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCANSTREAM_STORE", str(tmp_path / "store"))
    ds = small(1200)
    (tmp_path / "a.dcm").write_bytes(file_of(ds))
    assert main(["send", str(tmp_path / "a.dcm"), "--to", "kafka", "--address", topic_broker]) == 0
    (tmp_path / "b.dcm").write_text("not DICOM")
    assert main(["send", str(tmp_path / "b.dcm"), "--to", "kafka", "--address", topic_broker]) == 1
    (message,) = read(topic_broker, ds.SOPInstanceUID)
    assert message.value == ds.PixelData
    assert message.source == "/kafka/send"


def test_send_command_without_a_gateway(capsys: pytest.CaptureFixture[str]) -> None:
    path = str(TEST_FILES / "CT_small.dcm")
    assert main(["send", path, "--address", f"127.0.0.1:{_free_port()}"]) == 1
    assert "is a gateway there?" in capsys.readouterr().err
    assert main(["send", path, "--address", "nowhere"]) == 2
    assert main(["send", path + ".absent"]) == 2


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
