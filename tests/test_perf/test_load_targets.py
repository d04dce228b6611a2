"""What every target keeps to, and how each of them fails."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from echo import Echo
from pynetdicom import AE, evt
from watching import until

from engine import wire
from engine.config import Settings
from engine.local.broker import Broker
from engine.local.stack import Role, create_topics
from engine.messages import FrameMessage
from perf.load.frames import Frames, Pick, cine, place_of
from perf.load.objects import Template
from perf.load.process import Constant, Loader, Where
from perf.load.scu import Scu
from perf.load.target import Answer, Null, Target, TargetFailed
from perf.load.target_dicom import Dicom
from perf.load.target_kafka import Kafka
from perf.load.target_triton import Triton

LIMIT_S = 30.0
MR = "1.2.840.10008.5.1.4.1.1.4"
EXPLICIT = "1.2.840.10008.1.2.1"


@pytest.fixture(scope="module")
def samples() -> list[FrameMessage]:
    return [one.message for one in cine(1)[:3]]


@pytest.fixture(scope="module")
def echoed(
    tmp_path_factory: pytest.TempPathFactory, start_or_skip: Callable[[Broker], None]
) -> Iterator[Echo]:
    """A broker of its own, with the topics, behind which every frame is answered."""
    server = Broker(tmp_path_factory.mktemp("broker"))
    start_or_skip(server)
    create_topics(Settings(broker=server.address))
    with Echo(server.address) as echo:
        yield echo
    server.stop()


@pytest.fixture(scope="module")
def gateway(
    echoed: Echo, tmp_path_factory: pytest.TempPathFactory, start_or_skip: Callable[..., None]
) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("gateway")
    settings = Settings(broker=echoed.address, store=folder / "store")
    role = Role("gateway", ["engine.cli", "gateway"], folder, settings, ports=[None])
    role.reserve()
    role.settings = replace(settings, port=role.ports[0])
    start_or_skip(role)
    log = folder / "gateway.log"
    until(lambda: "connected to broker" in log.read_text(), LIMIT_S)
    yield f"127.0.0.1:{role.ports[0]}"
    role.stop()


class TargetContract:
    """Answers come to every frame that was sent, under its id, and after it was sent."""

    @pytest.fixture
    def target(self, samples: list[FrameMessage]) -> Target:
        raise NotImplementedError

    def test_every_frame_has_an_answer(self, target: Target, samples: list[FrameMessage]) -> None:
        frames, answers, began_s = Frames(samples), list[Answer](), time.monotonic()
        target.start(answers.append)
        sent = [frames.next(time.time_ns(), 60_000)[1] for _ in range(12)]
        sent.append(frames.next(time.time_ns(), 60_000, Pick(lane="stat"))[1])
        for frame in sent:
            target.send(frame)
        until(lambda: {frame.id for frame in sent} <= {one.frame_id for one in answers}, LIMIT_S)
        target.close()
        assert all(began_s <= one.at_s <= time.monotonic() for one in answers)
        assert {one.status for one in answers} <= {"ok", "dead-letter"}
        assert all(one.record for one in answers)

    def test_it_closes_without_a_frame(self, target: Target) -> None:
        target.start(lambda _: None)
        target.close()


class TestNull(TargetContract):
    @pytest.fixture
    def target(self, samples: list[FrameMessage]) -> Target:
        return Null()


@pytest.mark.kafka
class TestKafka(TargetContract):
    @pytest.fixture
    def target(self, samples: list[FrameMessage], echoed: Echo) -> Target:
        return Kafka(echoed.address)


@pytest.mark.kafka
class TestDicom(TargetContract):
    @pytest.fixture
    def target(self, samples: list[FrameMessage], echoed: Echo, gateway: str) -> Target:
        return Dicom(gateway, echoed.address, samples, associations=3, ae_title="SCANSTREAM")


@pytest.mark.triton
class TestTriton(TargetContract):
    @pytest.fixture
    def target(self, samples: list[FrameMessage], triton: str) -> Target:
        return Triton(triton, "unet-lv")


@pytest.mark.triton
def test_the_triton_target_sends_the_pictures_it_was_given(
    samples: list[FrameMessage], triton: str
) -> None:
    """The heart in the middle, and a blank: only one of the masks has anything in it."""
    heart = np.frombuffer(wire.opened(samples[0]).value, "<i2").reshape(256, 256)
    picture = (255 * (heart - heart.min()) / (heart.max() - heart.min())).astype(np.uint8)
    target, answers = Triton(triton, "unet-lv", [picture, np.zeros_like(picture)]), list[Answer]()
    target.start(answers.append)
    frames = Frames(samples[:2])
    sent = [frames.next(0, 1000)[1] for _ in range(2)]
    for frame in sent:
        target.send(frame)
    target.close()
    masks = {one.frame_id: np.frombuffer(one.record, np.uint8) for one in answers}
    assert [bool(masks[frame.id].any()) for frame in sent] == [True, False]


@pytest.mark.kafka
def test_objects_arrive_as_they_would_from_a_producer(
    samples: list[FrameMessage], echoed: Echo, gateway: str
) -> None:
    """The gateway makes the same frames of the objects as the Kafka target sends."""
    before = len(echoed.taken)
    where = Where("dicom", broker=echoed.address, gateway=gateway, associations=2)
    with Loader(where, samples) as loader:
        outcome = loader.run(Constant(20, 1.0, budget_ms=1000, drain_s=LIMIT_S, keep=True))
        urgent = loader.run(Constant(20, 0.2, budget_ms=1000, drain_s=LIMIT_S, lane="stat"))
    assert (outcome.sent, outcome.lost, urgent.lost) == (20, 0, 0)
    assert set(outcome.kept) == {0, 1, 2}
    assert (set(outcome.lanes), set(urgent.lanes)) == ({"bulk"}, {"stat"})
    taken = echoed.taken[before:]
    assert [frame.lane for frame in taken].count("stat") == urgent.sent
    for frame in taken:
        sample = samples[place_of(frame)]
        assert wire.opened(frame).value == wire.opened(sample).value
        assert frame.info.trigger_time == sample.info.trigger_time
        assert frame.info.keywords == sample.info.keywords
    assert len({frame.id for frame in taken}) == len(taken) == outcome.sent + urgent.sent


@pytest.fixture
def refusing() -> Iterator[str]:
    """An SCP by pynetdicom that has no room for any object."""
    ae = AE()
    ae.add_supported_context(MR, EXPLICIT)
    store = [(evt.EVT_C_STORE, lambda _: 0xA700)]
    server: Any = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=store)
    yield f"127.0.0.1:{server.server_address[1]}"
    server.shutdown()


@pytest.mark.kafka
def test_an_object_that_is_refused_ends_the_load_with_its_status(
    samples: list[FrameMessage], echoed: Echo, refusing: str
) -> None:
    target = Dicom(refusing, echoed.address, samples, associations=1, ae_title="ANY-SCP")
    target.start(lambda _: None)
    target.send(Frames(samples).next(0, 1000)[1])
    with pytest.raises(TargetFailed, match="0xA700"):
        target.close()


def test_the_sender_keeps_to_the_longest_pdu_of_the_other_side(
    samples: list[FrameMessage],
) -> None:
    """pynetdicom takes 16 KiB at a time and gets every byte, over one association."""
    got: list[tuple[str, int, bytes]] = []

    def store(event: Any) -> int:
        data = event.encoded_dataset(include_meta=False)
        got.append((event.request.AffectedSOPInstanceUID, event.request.Priority, data))
        return 0x0000

    ae = AE()
    ae.add_supported_context(MR, EXPLICIT)
    server: Any = ae.start_server(
        ("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, store)]
    )
    address = f"127.0.0.1:{server.server_address[1]}"
    scu = Scu(address, [(MR, EXPLICIT)], called="ANY-SCP", calling="TEST")
    frames, templates, sent = Frames(samples), [Template(one) for one in samples], []
    for number in range(3):
        place, frame = frames.next(0, 0)
        pieces = templates[place].pieces(frame)
        uid = frame.info.sop_instance_uid
        assert scu.store((MR, EXPLICIT), uid, pieces, priority=number % 2) == 0
        sent.append((uid, number % 2, b"".join(pieces)))
    large = bytes(range(256)) * 40_000  # more PDUs than one call takes, and than buffers hold
    assert scu.store((MR, EXPLICIT), "1.2.3", [b"ab", large, b"cd"]) == 0
    sent.append(("1.2.3", 0, b"ab" + large + b"cd"))
    with pytest.raises(TargetFailed, match="takes no"):
        scu.store((MR, "1.2.840.10008.1.2.5"), "1.2", [b""])
    scu.close()
    server.shutdown()
    assert got == sent


def test_nobody_there_and_an_end_in_the_middle_are_failures(samples: list[FrameMessage]) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(TargetFailed, match="no association with X"):
            Scu(address, [(MR, EXPLICIT)], called="X", calling="TEST")
        listener.listen()
        silent = threading.Thread(target=lambda: listener.accept()[0].close())
        silent.start()
        with pytest.raises(TargetFailed):
            Scu(address, [(MR, EXPLICIT)], called="X", calling="TEST")
        silent.join()


def test_a_target_that_does_not_exist_is_named(samples: list[FrameMessage]) -> None:
    with (
        pytest.raises(TargetFailed, match="no target 'carrier-pigeon'"),
        Loader(Where("carrier-pigeon"), samples),
    ):
        raise AssertionError("it must not be ready")
