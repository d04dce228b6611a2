"""Apache Kafka itself on loopback: one to three KRaft nodes out of Maven's artifacts.

It needs Java 17 or later, and Maven once, to fetch the jars (`deploy/kafka/pom.xml`, 44 MB) into
`var/kafka`. Unlike the pip broker it keeps its topics over a restart.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import re
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

from engine.errors import LocalStackError
from engine.local.broker import brokers
from engine.local.kafka_config import ClientListener, NodePorts, scram_arguments, server_properties
from engine.local.processes import HOST, Child, Server

CHECKOUT = Path(__file__).resolve().parents[2]
POM = CHECKOUT / "deploy" / "kafka" / "pom.xml"
JAVA = 17  # what Kafka 4's broker is compiled for
FETCH_LIMIT_S = 600.0
FORMAT_LIMIT_S = 60.0
# Small and quick to start: a local stack shares two cores with everything else.
JVM = ["-Xms128m", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
JVM += ["-Djava.net.preferIPv4Stack=true", "-Dlog4j2.level=WARN"]


class Kafka:
    """`with Kafka(folder) as kafka: kafka.address`. Topics live in `folder` and are kept.

    With three nodes a topic of replication 3 outlives any one of them; `nodes` has each of them,
    to kill and to restart alone. `port` is the first node's client port. Raises `LocalStackError`
    when Java or Maven is missing, or a node does not start.
    """

    name = "broker"
    durable = True

    def __init__(
        self,
        folder: Path,
        *,
        nodes: int = 1,
        port: int | None = None,
        listener: ClientListener | None = None,
    ) -> None:
        if not 1 <= nodes <= 3:
            raise LocalStackError(f"kafka: {nodes} nodes: it can be 1, 2 or 3")
        self._folder = folder / f"kafka-of-{nodes}"  # the quorum's size is part of its data
        listener = listener or ClientListener()
        self.nodes = [
            KafkaNode(self, number, self._folder, listener, port=port if number == 1 else None)
            for number in range(1, nodes + 1)
        ]

    @property
    def address(self) -> str:
        """`host:port`, of all nodes with commas between, for Kafka clients."""
        return ",".join(f"{HOST}:{node.listeners.client}" for node in self.nodes)

    @property
    def cluster_id(self) -> str:
        """The cluster's id: made once, and then kept with the data."""
        file = self._folder / "cluster.id"
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("="))
        return file.read_text()

    @property
    def alive(self) -> bool:
        """True while every node runs."""
        return all(node.alive for node in self.nodes)

    @property
    def pid(self) -> int | None:
        """Process id of the first node, None before the start."""
        return self.nodes[0].pid

    def reserve(self) -> None:
        """Take all ports, so that the address is known before the start."""
        for node in self.nodes:
            node.reserve()

    def start(self) -> None:
        """Start all nodes side by side, since a quorum needs two of three, and wait for them."""
        self.reserve()
        assert self.cluster_id
        try:
            self._on_each(Server.start)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End all nodes; their data stays."""
        self._on_each(Server.stop)

    def restart(self) -> None:
        """Start all nodes again on the same ports with the same data."""
        self._on_each(Server.restart)

    def kill(self) -> None:
        """SIGKILL to all nodes, as a power cut does."""
        self._on_each(Server.kill)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _on_each(self, act: Callable[[Server], None]) -> None:
        with ThreadPoolExecutor(max_workers=len(self.nodes)) as pool:
            list(pool.map(act, self.nodes))


class KafkaNode(Server):
    """One node: broker and controller at once. Made by `Kafka`."""

    deadline_s = 90.0  # a JVM on two busy cores, and a quorum to find

    def __init__(
        self,
        cluster: Kafka,
        number: int,
        folder: Path,
        listener: ClientListener,
        *,
        port: int | None,
    ) -> None:
        super().__init__(folder, [port, None, None])
        self.number = number
        self.name = f"kafka-{number}"
        self._cluster = cluster
        self._listener = listener

    @property
    def listeners(self) -> NodePorts:
        """The ports, from the reservation on."""
        return NodePorts(*self.ports)

    def _make_child(self) -> Child:
        java, jars = find_java(), fetch_jars()
        command = [java, *JVM, "-cp", f"{jars}/*"]
        data = self.folder / f"data-{self.number}"
        properties = self.folder / f"{self.name}.properties"
        properties.parent.mkdir(parents=True, exist_ok=True)
        cluster = [node.listeners for node in self._cluster.nodes]
        properties.write_text(server_properties(self.number, cluster, data, self._listener))
        if not (data / "meta.properties").exists():
            self._format(command, properties)
        return Child(
            self.name,
            [*command, "kafka.Kafka", str(properties)],
            log=self.folder / f"{self.name}.log",
            grace_s=20.0,  # a controlled shutdown hands its partitions to the other nodes first
        )

    def _format(self, command: list[str], properties: Path) -> None:
        words = [*command, "kafka.tools.StorageTool", "format", "-c", str(properties)]
        # With an equals sign: one id in 64 begins with "-", which alone would be another option.
        words += [f"--cluster-id={self._cluster.cluster_id}", *scram_arguments(self._listener)]
        done = _run(words, FORMAT_LIMIT_S, f"{self.name}: formatting its folder")
        if done.returncode != 0:
            raise LocalStackError(f"{self.name}: its folder cannot be formatted: {_last(done)}")

    def _is_ready(self) -> bool:
        # Listed by itself: registered with the controllers, and not fenced any more.
        cluster_id, known = brokers(self.listeners.internal)
        return cluster_id == self._cluster.cluster_id and self.number in known


@functools.cache
def find_java() -> str:
    """Return Java's path; raise `LocalStackError` when there is none, or it is too old."""
    path = shutil.which("java")
    cure = f"install a Java runtime {JAVA} or later (Debian: default-jre-headless)"
    if path is None:
        raise LocalStackError(f"kafka: java is not on PATH: {cure}")
    said = _run([path, "-version"], 30.0, "kafka: java -version").stderr
    found = re.search(r'version "(\d+)', said)
    if found is None or int(found[1]) < JAVA:
        raise LocalStackError(f"kafka: {path} is version {found[1] if found else '?'}: {cure}")
    return path


def fetch_jars() -> Path:
    """Return the folder of Kafka's jars; the first call for a pom fetches them with Maven."""
    if not POM.exists():
        raise LocalStackError(f"kafka: {POM} is missing: Apache Kafka runs from a checkout only")
    key = hashlib.sha256(POM.read_bytes()).hexdigest()[:16]
    jars = CHECKOUT / "var" / "kafka" / f"libs-{key}"
    if jars.exists():
        return jars
    maven = shutil.which("mvn")
    if maven is None:
        raise LocalStackError("kafka: mvn is not on PATH: install Maven (Debian: maven)")
    print("kafka: fetching Apache Kafka's jars with Maven (44 MB, once) ...", file=sys.stderr)
    fetched = jars.with_name(f".{uuid.uuid4().hex}")
    words = [maven, "-q", "-B", "--strict-checksums", "-f", str(POM)]
    words += ["dependency:copy-dependencies", f"-DoutputDirectory={fetched}"]
    try:
        done = _run(words, FETCH_LIMIT_S, "kafka: fetching the jars")
        if done.returncode != 0:
            raise LocalStackError(f"kafka: Maven cannot fetch the jars: {_last(done)}")
        if not jars.exists():  # another process may have been as quick
            fetched.rename(jars)
    finally:
        shutil.rmtree(fetched, ignore_errors=True)
    return jars


def _run(words: list[str], limit_s: float, what: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(words, capture_output=True, text=True, timeout=limit_s, check=False)
    except subprocess.TimeoutExpired:
        raise LocalStackError(f"{what} is not done after {limit_s:.0f} s") from None
    except OSError as error:
        raise LocalStackError(f"{what}: cannot run {words[0]}: {error.strerror}") from None


def _last(done: subprocess.CompletedProcess[str]) -> str:
    """Return the line that says why: Maven's first error, or the last line."""
    lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    errors = [line for line in lines if "ERROR" in line or "Exception" in line]
    return (errors or lines[-1:] or [f"exit code {done.returncode}"])[0]


if __name__ == "__main__":
    try:
        print(f"kafka: jars in {fetch_jars()}, Java at {find_java()}")
    except LocalStackError as error:
        sys.exit(str(error))
