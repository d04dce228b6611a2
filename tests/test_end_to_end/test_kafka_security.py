"""TLS, mutual TLS and SASL/SCRAM against the real Apache Kafka, through every client of ours."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from kafka_certificates import Authority

from engine.config import Settings
from engine.demo.run import frame_ids
from engine.errors import BrokerUnavailable
from engine.ingest.publisher import Publisher
from engine.local.kafka import Kafka
from engine.local.kafka_config import ClientListener
from engine.local.stack import LocalStack
from engine.messages import RESULTS, Result
from engine.phantom import Phantom, dicom_objects
from engine.results import Reader
from engine.send import send_dicom
from streams.topics import ensure

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

USER, PASSWORD = "scanstream", "correct horse"


@dataclass(frozen=True)
class Secured:
    """A broker, and settings that it lets in."""

    broker: Kafka
    settings: Settings
    authority: Authority
    folder: Path


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


def listener_of(protocol: str, mechanism: str, authority: Authority) -> ClientListener:
    return ClientListener(
        protocol=protocol,
        keystore=authority.sign("broker").both if protocol.endswith("SSL") else None,
        truststore=authority.file if protocol == "SSL" else None,
        client_auth=protocol == "SSL",
        mechanism=mechanism,
        users={USER: PASSWORD} if protocol.startswith("SASL") else {},
    )


def settings_of(protocol: str, mechanism: str, authority: Authority, folder: Path) -> Settings:
    given: dict[str, Any] = {"security_protocol": protocol, "store": folder / "store"}
    if protocol.endswith("SSL"):
        given |= {"ssl_ca": authority.file}
    if protocol == "SSL":  # mutual
        client = authority.sign("client")
        given |= {"ssl_certificate": client.certificate, "ssl_key": client.key}
    if protocol.startswith("SASL"):
        secret = folder / "password"
        secret.write_text(f"{PASSWORD}\n")
        given |= {"sasl_mechanism": mechanism, "sasl_username": USER, "sasl_password_file": secret}
    return Settings(**given)


@pytest.fixture(
    scope="module",
    params=[
        ("SSL", "SCRAM-SHA-512"),
        ("SASL_PLAINTEXT", "SCRAM-SHA-256"),
        ("SASL_SSL", "SCRAM-SHA-512"),
    ],
    ids=lambda param: param[0],
)
def secured(
    request: pytest.FixtureRequest,
    certificates: Authority,
    tmp_path_factory: pytest.TempPathFactory,
    start_or_skip: Callable[[Any], None],
) -> Iterator[Secured]:
    """One node with the topics; SSL means mutual TLS."""
    protocol, mechanism = request.param
    folder = tmp_path_factory.mktemp(protocol)
    broker = Kafka(folder, listener=listener_of(protocol, mechanism, certificates))
    start_or_skip(broker)
    settings = settings_of(protocol, mechanism, certificates, folder)
    settings = replace(settings, broker=broker.address)
    asyncio.run(ensure(settings))
    yield Secured(broker, settings, certificates, folder)
    broker.stop()


def wrong(secured: Secured) -> dict[str, Settings]:
    """Settings that the broker must not let in, by what is wrong with them."""
    mine, folder = secured.settings, secured.folder
    plain = Settings(broker=mine.broker, store=mine.store)
    found = {"nothing given": plain}
    if mine.ssl_certificate is not None:
        found["no certificate"] = replace(mine, ssl_certificate=None, ssl_key=None)
        (folder / "strange").mkdir(exist_ok=True)
        strange = Authority(folder / "strange", "strange-ca").sign("client")
        found["a certificate of another CA"] = replace(
            mine, ssl_certificate=strange.certificate, ssl_key=strange.key
        )
    if mine.ssl_ca is not None:
        found["a broker of another CA"] = replace(mine, ssl_ca=Authority(folder, "other-ca").file)
    if mine.sasl_username:
        given = {"sasl_password": "wrong", "sasl_password_file": None}
        found["a wrong password"] = replace(mine, **given)
        found["an unknown user"] = replace(mine, sasl_username="nobody")
    return found


async def test_who_is_let_in(secured: Secured) -> None:
    assert await ensure(secured.settings) == []  # all topics are there
    async with Reader(secured.settings, RESULTS, Result, follow=False) as results:
        assert [one async for one in results] == []


async def test_who_is_refused(secured: Secured) -> None:
    for why, settings in wrong(secured).items():
        with pytest.raises(BrokerUnavailable) as refusal:
            await ensure(settings)
        with pytest.raises(BrokerUnavailable):
            async with Reader(settings, RESULTS, Result, follow=False):
                pass
        assert PASSWORD not in str(refusal.value), why


def test_the_publisher_is_let_in_or_not(secured: Secured) -> None:
    for settings, expected in (
        (secured.settings, True),
        *((s, False) for s in wrong(secured).values()),
    ):
        publisher = Publisher(settings)
        publisher.start()
        assert publisher.wait_connected(10.0 if expected else 1.0) is expected
        publisher.close()


@pytest.mark.triton
@pytest.mark.parametrize("protocol", ["SSL", "SASL_SSL"])
def test_the_whole_path(
    tmp_path: Path, certificates: Authority, start_or_skip: Callable[[Any], None], protocol: str
) -> None:
    kind = (protocol, "SCRAM-SHA-512", certificates)
    broker = Kafka(tmp_path, listener=listener_of(*kind))
    stack = LocalStack(tmp_path, settings_of(*kind, tmp_path), broker=broker)
    start_or_skip(stack)
    try:
        objects = list(dicom_objects(Phantom(seed=51, slices=3, phases=2)))
        assert send_dicom(objects, stack.settings.host, stack.settings.port).ok
        found = asyncio.run(_read(stack.settings, frame_ids(objects)))
    finally:
        stack.stop()
    assert {one.status for one in found} <= {"ok", "degraded"}
    for log in tmp_path.rglob("*.log"):
        assert PASSWORD not in log.read_text(errors="replace"), log.name


async def _read(settings: Settings, frames: set[str]) -> list[Result]:
    found = []
    async with asyncio.timeout(60), Reader(settings, RESULTS, Result, follow=True) as results:
        async for result in results:
            found += [result] if result.frame.id in frames else []
            if len(found) == len(frames):
                break
    return found
