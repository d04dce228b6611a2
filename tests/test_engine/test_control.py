"""Which version serves: read and followed on the real broker, pinned, tried again."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from aiokafka import AIOKafkaProducer

from engine.cli.versions import Operator
from engine.config import Settings
from engine.control import Control, publish, read
from engine.errors import BrokerUnavailable, ModelUnavailable
from engine.infer import TritonModel
from engine.local.broker import Broker
from engine.messages import ModelRef
from engine.serving import MODELS_TOPIC, Serving, Version, record_id
from streams.topics import ensure

LIMIT_S = 20.0


def serving(version: str, *, model: str = "unet") -> Serving:
    at_ns = time.time_ns()
    return Serving(
        id=record_id(model, str(at_ns)),
        model=model,
        now=Version(version=version, digest=version * 64),
        at_ns=at_ns,
    )


class FakeVersions:
    """A model of which only some versions are loaded."""

    def __init__(self, pinned: str, loaded: set[str]) -> None:
        self.pinned = pinned
        self.loaded = loaded
        self.asked: list[str] = []
        self.changed = asyncio.Event()

    @property
    def ref(self) -> ModelRef:
        return ref(self.pinned)

    async def pin(self, version: str) -> None:
        self.asked.append(version)
        self.changed.set()
        await asyncio.sleep(0)
        if version not in self.loaded:
            raise ModelUnavailable(f"version {version} is not loaded")
        self.pinned = version
        self.changed.set()

    async def until(self, version: str) -> None:
        async with asyncio.timeout(LIMIT_S):
            while self.pinned != version:
                self.changed.clear()
                await self.changed.wait()

    async def until_asked(self, count: int) -> None:
        async with asyncio.timeout(LIMIT_S):
            while len(self.asked) < count:
                self.changed.clear()
                await self.changed.wait()


def ref(version: str) -> ModelRef:
    return ModelRef(name="unet", version=version, digest=version * 64, precision="fp32")


@pytest.fixture
async def settings(tmp_path) -> AsyncIterator[Settings]:
    """A broker of the test's own with our topics: nobody else's records are on it."""
    server = Broker(tmp_path)
    await asyncio.to_thread(server.start)
    made = Settings(broker=server.address, partitions=3, backoff_max_s=0.5)
    await ensure(made)
    yield made
    await asyncio.to_thread(server.stop)


@pytest.fixture
async def control(settings: Settings) -> AsyncIterator[Control]:
    made = Control(settings)
    yield made
    await made.close()


async def write_raw(settings: Settings, key: bytes, value: bytes | None) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=settings.broker)
    await producer.start()
    try:
        await producer.send_and_wait(MODELS_TOPIC, key=key, value=value)
    finally:
        await producer.stop()


@pytest.mark.kafka
async def test_the_last_record_of_each_model_counts(settings: Settings, control: Control) -> None:
    records = [serving("2"), serving("5", model="liver"), serving("3")]
    for one in records:
        await publish(settings, one)
    assert await control.start() == {"unet": records[2], "liver": records[1]}
    assert await read(settings) == {"unet": records[2], "liver": records[1]}


@pytest.mark.kafka
async def test_a_model_without_a_record_is_left_alone(settings: Settings, control: Control) -> None:
    model = FakeVersions("", {"1"})
    assert await control.start() == {}
    control.follow({"unet": model}, lambda *_: None)
    await publish(settings, serving("1", model="another"))
    await publish(settings, serving("1"))
    await model.until("1")
    assert model.asked == ["1"]


@pytest.mark.kafka
async def test_what_is_no_record_changes_nothing_and_stops_nothing(
    settings: Settings, control: Control
) -> None:
    model = FakeVersions("1", {"1", "2"})
    await publish(settings, serving("1"))
    await write_raw(settings, b"unet", b"not json")
    found = await control.start()
    assert found["unet"].now.version == "1"
    control.follow({"unet": model}, lambda *_: None)
    future = msgspec.json.encode(serving("2")).replace(b"model.v1", b"model.v9")
    await write_raw(settings, b"unet", future)
    await publish(settings, serving("2"))
    await model.until("2")
    assert model.asked == ["2"]


@pytest.mark.kafka
async def test_a_deleted_record_means_tritons_choice(settings: Settings, control: Control) -> None:
    await publish(settings, serving("2"))
    await control.start()
    model = FakeVersions("2", {"", "2"})
    control.follow({"unet": model}, lambda *_: None)
    await write_raw(settings, b"unet", None)
    await model.until("")
    assert await read(settings) == {}


@pytest.mark.kafka
async def test_a_version_that_is_not_loaded_leaves_the_old_one_and_is_tried_again(
    settings: Settings, control: Control, caplog: pytest.LogCaptureFixture
) -> None:
    await control.start()
    model = FakeVersions("1", {"1"})
    control.follow({"unet": model}, lambda *_: None)
    await publish(settings, serving("2"))
    await model.until_asked(2)
    assert model.pinned == "1"
    assert "model unet stays at version 1: version 2 is not loaded" in caplog.text
    model.loaded.add("2")
    await model.until("2")


@pytest.mark.kafka
async def test_a_newer_record_replaces_one_that_cannot_be_pinned(
    settings: Settings, control: Control
) -> None:
    await control.start()
    model = FakeVersions("1", {"1", "3"})
    control.follow({"unet": model}, lambda *_: None)
    await publish(settings, serving("2"))
    await model.until_asked(1)
    await publish(settings, serving("3"))
    await model.until("3")
    tried = len(model.asked)
    await publish(settings, serving("1"))
    await model.until("1")
    assert model.asked[tried:] == ["1"]  # the version that was given up is not tried again


@pytest.mark.kafka
async def test_a_broker_that_is_away_is_waited_for(tmp_path) -> None:
    server = Broker(tmp_path)
    server.reserve()
    settings = Settings(broker=server.address, partitions=2, backoff_max_s=0.3)
    with pytest.raises(BrokerUnavailable):
        await read(settings)
    control = Control(settings)
    starting = asyncio.create_task(control.start())
    await asyncio.to_thread(server.start)
    try:
        await ensure(settings)
        async with asyncio.timeout(LIMIT_S):
            assert await starting == {}
    finally:
        await control.close()
        await asyncio.to_thread(server.stop)


@pytest.mark.kafka
async def test_changes_are_followed_after_the_broker_was_away(tmp_path) -> None:
    """The pip broker forgets everything when it dies: its first record is where the old one was."""
    server = Broker(tmp_path)
    await asyncio.to_thread(server.start)
    settings = Settings(broker=server.address, partitions=2, backoff_max_s=0.3)
    await ensure(settings)
    control = Control(settings)
    model = FakeVersions("", {"", "1", "2"})
    try:
        await control.start()
        control.follow({"unet": model}, lambda *_: None)
        await publish(settings, serving("1"))
        await model.until("1")
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.restart)
        await ensure(settings)
        for version in ("1", "2"):
            await publish(settings, serving(version))
        await model.until("2")
    finally:
        await control.close()
        await asyncio.to_thread(server.stop)


async def test_a_defect_on_the_way_does_not_end_the_following(monkeypatch) -> None:
    """Whatever `start` raises: a worker that no longer follows looks like one that does."""
    control = Control(Settings())
    model = FakeVersions("1", {"1", "2"})
    answers: list[object] = [ValueError("a defect"), {"unet": serving("2")}]

    async def start() -> object:
        answer = answers.pop(0) if answers else {"unet": serving("2")}
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr("engine.control.follow.FIRST_S", 0.01)
    monkeypatch.setattr(control, "start", start)
    control.follow({"unet": model}, lambda *_: None)
    await model.until("2")
    await control.close()


@pytest.mark.parametrize("served", ["model.onnx", "model.fp16.onnx", "model.int8-symmetric.onnx"])
def test_a_plan_is_compared_with_the_file_it_was_built_from(tmp_path: Path, served: str) -> None:
    """A GPU's server tells the digest of one of these, by its setting PRECISION."""
    folder = tmp_path / "cpu" / "unet" / "1"
    folder.mkdir(parents=True)
    for name in ("model.onnx", served):
        (folder / name).write_bytes(name.encode())
    operator = Operator(Settings(), "unet", tmp_path)
    digest = hashlib.sha256(served.encode()).hexdigest()
    assert operator._compared(Version(version="1", digest=digest))
    with pytest.raises(ModelUnavailable, match="other weights"):
        operator._compared(Version(version="1", digest="0" * 64))
    assert not operator._compared(Version(version="2", digest=digest))  # nothing to compare with


@pytest.mark.triton
async def test_a_worker_that_waits_for_a_version_takes_another(gated) -> None:
    """A worker starts with a recorded version that Triton lost; a rollback must reach it."""
    model = TritonModel(gated[0], "gated", version="9", max_batch=4, slots=1, timeout_s=LIMIT_S)
    try:
        with pytest.raises(ModelUnavailable):
            await model.start()
        with pytest.raises(ModelUnavailable):
            await model.pin("8")
        assert model.pinned == "9"
        await model.pin("1")
        assert (model.pinned, model.ref.version) == ("1", "1")
    finally:
        await model.close()
