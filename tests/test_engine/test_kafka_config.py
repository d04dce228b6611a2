"""Apache Kafka's configuration, what stops it from starting, and the settings of its clients."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from engine.config import Settings
from engine.errors import ConfigError, LocalStackError
from engine.local import kafka
from engine.local.kafka import Kafka
from engine.local.kafka_config import (
    ClientListener,
    NodePorts,
    scram_arguments,
    server_properties,
)
from engine.security import Security, client_options

PORTS = [NodePorts(1001, 1002, 1003), NodePorts(2001, 2002, 2003), NodePorts(3001, 3002, 3003)]
SASL = {"security_protocol": "SASL_SSL", "sasl_username": "alice"}


def properties(nodes: int, listener: ClientListener, node: int = 1) -> dict[str, str]:
    text = server_properties(node, PORTS[:nodes], Path("/data"), listener)
    return dict(line.split("=", 1) for line in text.splitlines())


def test_one_node() -> None:
    found = properties(1, ClientListener())
    assert found["process.roles"] == "broker,controller"
    assert found["auto.create.topics.enable"] == "false"
    assert found["offsets.topic.replication.factor"] == "1"
    assert found["min.insync.replicas"] == "1"
    assert found["log.dirs"] == "/data"
    assert not any("ssl" in name or "sasl" in name for name in found)


def test_three_nodes_know_each_other() -> None:
    all_three = [properties(3, ClientListener(), node) for node in (1, 2, 3)]
    voters = "1@127.0.0.1:1003,2@127.0.0.1:2003,3@127.0.0.1:3003"
    assert {one["controller.quorum.voters"] for one in all_three} == {voters}
    assert [one["node.id"] for one in all_three] == ["1", "2", "3"]
    assert all_three[1]["listeners"].startswith("CLIENT://127.0.0.1:2001,INTERNAL://")
    assert all_three[0]["offsets.topic.replication.factor"] == "3"
    assert all_three[0]["min.insync.replicas"] == "2"


def test_every_listener_is_on_loopback() -> None:
    found = properties(3, ClientListener())
    for name in ("listeners", "advertised.listeners"):
        assert all("://127.0.0.1:" in one for one in found[name].split(","))


def test_security_is_for_clients_only() -> None:
    listener = ClientListener(
        protocol="SASL_SSL",
        keystore=Path("/k.pem"),
        truststore=Path("/t.pem"),
        client_auth=True,
        mechanism="SCRAM-SHA-256",
        users={"alice": "secret"},
    )
    found = properties(1, listener)
    protocols = "CLIENT:SASL_SSL,INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT"
    assert found["listener.security.protocol.map"] == protocols
    assert found["listener.name.client.ssl.keystore.location"] == "/k.pem"
    assert found["listener.name.client.ssl.client.auth"] == "required"
    assert found["listener.name.client.sasl.enabled.mechanisms"] == "SCRAM-SHA-256"
    assert scram_arguments(listener)[1] == "SCRAM-SHA-256=[name=alice,password=secret]"
    assert "secret" not in repr(listener)
    assert "secret" not in str(found)


def test_without_java_or_maven_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    kafka.find_java.cache_clear()
    with pytest.raises(LocalStackError, match="install a Java runtime 17"):
        kafka.find_java()
    monkeypatch.setattr(kafka, "CHECKOUT", tmp_path)
    with pytest.raises(LocalStackError, match="install Maven"):
        kafka.fetch_jars()


def test_an_old_java_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path / "java", "echo 'openjdk version \"11.0.2\"' >&2")
    monkeypatch.setattr(shutil, "which", lambda name: str(tmp_path / name))
    kafka.find_java.cache_clear()
    with pytest.raises(LocalStackError, match="version 11"):
        kafka.find_java()
    kafka.find_java.cache_clear()


def test_maven_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path / "mvn", "echo '[ERROR] no route to host'; exit 1")
    monkeypatch.setattr(shutil, "which", lambda name: str(tmp_path / name))
    monkeypatch.setattr(kafka, "CHECKOUT", tmp_path)
    with pytest.raises(LocalStackError, match="no route to host"):
        kafka.fetch_jars()
    assert not (tmp_path / "var").exists()


def test_four_nodes_are_too_many(tmp_path: Path) -> None:
    with pytest.raises(LocalStackError, match="4 nodes"):
        Kafka(tmp_path, nodes=4)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"security_protocol": "TLS"}, "security_protocol"),
        ({"security_protocol": "SASL_SSL"}, "sasl_username"),
        (SASL, "sasl_password_file"),
        ({**SASL, "sasl_password": "x", "sasl_password_file": Path("x")}, "sasl_password_file"),
        ({**SASL, "sasl_password": "x", "sasl_mechanism": "PLAIN"}, "sasl_mechanism"),
        ({"ssl_ca": Path("ca.pem")}, "ssl_ca"),
        ({"sasl_username": "alice"}, "sasl_username"),
        ({"security_protocol": "SSL", "sasl_password": "x"}, "sasl_password"),
        ({"security_protocol": "SSL", "ssl_certificate": Path("x")}, "ssl_key"),
        ({"replication": 0}, "replication"),
    ],
)
def test_a_wrong_combination_names_its_setting(given: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=f"`{named}`"):
        Settings(**given)


@pytest.mark.parametrize("name", ["ssl_ca", "ssl_certificate", "sasl_password_file"])
def test_a_file_that_cannot_be_used_names_its_setting(tmp_path: Path, name: str) -> None:
    files = {"ssl_ca": None, "sasl_password_file": tmp_path / "password"}
    (tmp_path / "password").write_text("secret")
    files[name] = tmp_path / "absent"
    if name == "ssl_certificate":
        files["ssl_key"] = tmp_path / "absent"
    with pytest.raises(ConfigError, match=f"`{name}`"):
        client_options(Settings(**SASL, **files))  # type: ignore[arg-type]


def test_an_empty_password_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("\n")
    with pytest.raises(ConfigError, match="is empty"):
        Security.of(Settings(**SASL, sasl_password_file=tmp_path / "password"))  # type: ignore[arg-type]


def test_the_password_is_nowhere_to_be_read(tmp_path: Path) -> None:
    settings = Settings(**SASL, sasl_password="secret")  # type: ignore[arg-type]
    assert "secret" not in repr(settings)
    assert "secret" not in repr(Security.of(settings))
    assert client_options(settings)["sasl_plain_password"] == "secret"
    assert Settings.load(settings.as_environ()) == settings


def program(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
