"""What a local Apache Kafka node is told: its `server.properties`, as pure text.

Names and meanings are Kafka's own (Apache Kafka 4 documentation, "Broker Configs" and "Security").
Every node is broker and controller at once (KRaft's combined mode) and has three listeners:
CLIENT, with whatever security a test or user wants, and INTERNAL and CONTROLLER, which are for the
nodes among themselves and plain.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class NodePorts:
    """The loopback ports of one node's listeners."""

    client: int
    internal: int
    controller: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientListener:
    """How clients must come in.

    `protocol` is Kafka's: PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL. `keystore` is one PEM file
    of the private key (PKCS#8) and its certificates, `truststore` one of the CAs that clients'
    certificates come from; with `client_auth` a client must have one (mutual TLS). `users` are
    SCRAM users and their passwords.
    """

    protocol: str = "PLAINTEXT"
    keystore: Path | None = None
    truststore: Path | None = None
    client_auth: bool = False
    mechanism: str = "SCRAM-SHA-512"
    users: Mapping[str, str] = field(default_factory=dict, repr=False)


def server_properties(
    node: int, cluster: Sequence[NodePorts], folder: Path, listener: ClientListener
) -> str:
    """Return the `server.properties` of node `node`, counted from 1, of `cluster`."""
    values = {
        **_listeners(node, cluster, listener),
        **_replication(len(cluster)),
        "log.dirs": str(folder.resolve()),
        "auto.create.topics.enable": "false",
        # A group forms at once: the default waits 3 s for members that a local stack does not have.
        "group.initial.rebalance.delay.ms": "0",
        "offsets.topic.num.partitions": "4",
        # A killed node can come back only when the controllers have given up its former life.
        "broker.session.timeout.ms": "6000",
        "broker.heartbeat.interval.ms": "1000",
        "num.network.threads": "2",
        "num.io.threads": "4",
        "log.cleaner.dedupe.buffer.size": str(16 * 1024 * 1024),  # of a heap of 384 MiB
    }
    return "".join(f"{name}={value}\n" for name, value in values.items())


def scram_arguments(listener: ClientListener) -> list[str]:
    """Return StorageTool's arguments that make the SCRAM users."""
    words = []
    for name, password in listener.users.items():
        words += ["--add-scram", f"{listener.mechanism}=[name={name},password={password}]"]
    return words


def _listeners(node: int, cluster: Sequence[NodePorts], listener: ClientListener) -> dict[str, str]:
    mine = cluster[node - 1]
    client = f"CLIENT://{HOST}:{mine.client},INTERNAL://{HOST}:{mine.internal}"
    voters = (f"{at}@{HOST}:{one.controller}" for at, one in enumerate(cluster, start=1))
    protocols = f"CLIENT:{listener.protocol},INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT"
    return {
        "process.roles": "broker,controller",
        "node.id": str(node),
        "controller.quorum.voters": ",".join(voters),
        "listeners": f"{client},CONTROLLER://{HOST}:{mine.controller}",
        "advertised.listeners": client,
        "listener.security.protocol.map": protocols,
        "inter.broker.listener.name": "INTERNAL",
        "controller.listener.names": "CONTROLLER",
        **_tls(listener),
        **_sasl(listener),
    }


def _tls(listener: ClientListener) -> dict[str, str]:
    values = {}
    if listener.keystore is not None:
        values["keystore.type"] = "PEM"
        values["keystore.location"] = str(listener.keystore)
    if listener.truststore is not None:
        values["truststore.type"] = "PEM"
        values["truststore.location"] = str(listener.truststore)
    if listener.client_auth:
        values["client.auth"] = "required"
    return {f"listener.name.client.ssl.{name}": value for name, value in values.items()}


def _sasl(listener: ClientListener) -> dict[str, str]:
    if not listener.protocol.startswith("SASL"):
        return {}
    module = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
    prefix = "listener.name.client"
    return {
        f"{prefix}.sasl.enabled.mechanisms": listener.mechanism,
        f"{prefix}.{listener.mechanism.lower()}.sasl.jaas.config": module,
    }


def _replication(nodes: int) -> dict[str, str]:
    """Kafka's own topics: on every node, and written while all but one are there."""
    replicas, in_sync = str(nodes), str(max(1, nodes - 1))
    return {
        "default.replication.factor": replicas,
        "min.insync.replicas": in_sync,
        "offsets.topic.replication.factor": replicas,
        "transaction.state.log.replication.factor": replicas,
        "transaction.state.log.min.isr": in_sync,
    }
