"""The whole stack on one machine: broker, topics, Triton, gateway and workers."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import Executor, ThreadPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from engine.config import Settings
from engine.errors import LocalStackError
from engine.local.broker import Broker
from engine.local.processes import Child, Server
from engine.local.triton import Triton

MODELS = Path(__file__).resolve().parents[2] / "triton_models" / "cpu"
READY_FILE = "SCANSTREAM_READY_FILE"  # a role creates the file of this name once it is ready
TOPICS_LIMIT_S = 60.0


class Role(Server):
    """One of this project's own processes; it is ready when its ready file is there."""

    deadline_s = 120.0  # imports on two busy cores, the kernels' first compilation, a rebalance

    def __init__(
        self,
        name: str,
        words: list[str],
        folder: Path,
        settings: Settings,
        *,
        ports: Sequence[int | None] = (),
    ) -> None:
        super().__init__(folder, ports)
        self.name = name
        self.settings = settings
        self._words = words
        self._ready_file = (folder / f"{name}.ready").resolve()

    @property
    def metrics_port(self) -> int:
        """Where it shows itself, once it starts; 0: nowhere."""
        return self.settings.metrics_port

    def _make_child(self) -> Child:
        self._ready_file.unlink(missing_ok=True)
        return Child(
            self.name,
            [sys.executable, "-m", *self._words],
            log=self.folder / f"{self.name}.log",
            env=_environment(self.settings) | {READY_FILE: str(self._ready_file)},
            grace_s=10.0,
        )

    def _is_ready(self) -> bool:
        return self._ready_file.exists()


class LocalBroker(Protocol):
    """What the stack needs of a broker: `engine.local.broker.Broker` or `.kafka.Kafka`."""

    name: str
    durable: bool

    @property
    def address(self) -> str:
        """`host:port` for Kafka clients; of several nodes, with commas between."""

    @property
    def nodes(self) -> Sequence[Server]:
        """The processes it is made of."""

    @property
    def alive(self) -> bool:
        """True while all of it runs."""

    @property
    def pid(self) -> int | None:
        """Process id of its first node."""

    def reserve(self) -> None:
        """Take the ports."""

    def start(self) -> None:
        """Start, and wait until ready."""

    def restart(self) -> None:
        """Start again on the same ports."""

    def stop(self) -> None:
        """End it and give the ports back."""

    def kill(self) -> None:
        """SIGKILL, as a crash does."""


class LocalStack:
    """`with LocalStack(folder, settings) as stack: stack.settings`.

    `settings` come back with the addresses of what was started. With `free_ports` these are free
    ports of loopback; without, the ports that `settings` name, so that other commands find them.
    `broker` is the pip broker unless it is given (`engine.local.kafka.Kafka` is Apache Kafka).
    `workers` take the bulk lane, `stat_workers` the STAT lane, `series` measures series. Logs are
    `folder/NAME.log`. All of it ends with the context, or with this process, however that ends.
    Raises `LocalStackError` when a part cannot start; then nothing is left running.
    """

    def __init__(
        self,
        folder: Path,
        settings: Settings,
        *,
        workers: int = 1,
        stat_workers: int = 0,
        series: bool = True,
        gateway: bool = True,
        free_ports: bool = True,
        repository: Path | None = None,
        broker: LocalBroker | None = None,
    ) -> None:
        self.folder = folder
        self.settings = settings
        self._lanes = {"bulk": workers, "stat": stat_workers}
        self._with_gateway = gateway
        self._free_ports = free_ports
        self.broker: LocalBroker = broker or Broker(folder, port=self._fixed("broker"))
        self.triton = Triton(folder, repository or MODELS, settings, port=self._fixed("triton"))
        self.gateway: Role | None = None
        self.workers: list[Role] = []
        self.series: Role | None = None
        self._with_series = series

    @property
    def servers(self) -> list[Server]:
        """Everything in the stack, in the order of the way of a frame."""
        return [*self._served, *self._roles]

    @property
    def _served(self) -> list[Server]:
        return [*self.broker.nodes, self.triton]

    @property
    def _roles(self) -> list[Role]:
        single = (self.gateway, self.series)
        return [*(role for role in single if role is not None), *self.workers]

    def start(self) -> None:
        """Start everything and wait until all of it is ready."""
        try:
            self._reserve()
            with ThreadPoolExecutor(max_workers=16) as pool:
                try:
                    self._start_in(pool)
                except BaseException:
                    self.stop()  # so that those still waiting to be ready need not wait on
                    raise
        except BaseException:
            self.stop()  # and whoever began after that
            raise

    def stop(self) -> None:
        """End everything: first who uses, then who serves."""
        with ThreadPoolExecutor(max_workers=16) as pool:
            list(pool.map(Server.stop, self._roles))
            list(pool.map(Server.stop, self._served))

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

    def _start_in(self, pool: Executor) -> None:
        triton = pool.submit(self.triton.start)
        self.broker.start()
        create_topics(self.settings)
        if triton.done():
            triton.result()  # it failed already: start nothing more
        # Workers hold their frames until Triton is there; they need not wait to start.
        roles = [pool.submit(server.start) for server in self._roles]
        for started in as_completed([triton, *roles]):
            started.result()

    def _reserve(self) -> None:
        """Take all ports, put the addresses into the settings, and make the roles with them."""
        self.broker.reserve()
        self.triton.reserve()
        self.settings = replace(
            self.settings, broker=self.broker.address, triton=self.triton.address
        )
        if self._with_gateway:
            port = None if self._free_ports else self.settings.port
            gateway = self._role("gateway", ["engine.cli", "gateway"], [port])
            gateway.reserve()
            self.settings = replace(self.settings, port=gateway.ports[0])
            gateway.settings = self.settings
            self.gateway = gateway
        if self._with_series:
            self.series = self._role("series", ["streams", "series"])
        self.workers = [
            self._role(f"worker-{lane}-{number}", ["streams", "worker", "--lane", lane])
            for lane, count in self._lanes.items()
            for number in range(1, count + 1)
        ]
        if first := self.settings.metrics_port:  # each needs a port of its own
            for port, role in enumerate(self._roles, first):
                role.settings = replace(role.settings, metrics_port=port)
            self.triton.metrics_port = first + len(self._roles)

    def _role(self, name: str, words: list[str], ports: Sequence[int | None] = ()) -> Role:
        return Role(name, words, self.folder, self.settings, ports=ports)

    def _fixed(self, setting: str) -> int | None:
        """Return the port that `setting` names, None when any free one will do."""
        return None if self._free_ports else local_port(setting, self.settings)


def local_port(setting: str, settings: Settings) -> int:
    """Return the loopback port that the setting names; raise `LocalStackError` when it does not."""
    address: str = getattr(settings, setting)
    host, _, port = address.rpartition(":")
    if host not in ("127.0.0.1", "localhost") or not port.isdigit():
        raise LocalStackError(
            f"setting `{setting}` is {address}: the local stack needs 127.0.0.1:PORT"
        )
    return int(port)


def create_topics(settings: Settings) -> None:
    """Create all topics on `settings.broker`; raise `LocalStackError` when that fails."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", "streams", "topics"],
            env=_environment(settings),
            capture_output=True,
            text=True,
            timeout=TOPICS_LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise LocalStackError(f"topics: not created after {TOPICS_LIMIT_S:.0f} s") from None
    if done.returncode != 0:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise LocalStackError(f"topics: not created: {lines[-1] if lines else done.returncode}")


def _environment(settings: Settings) -> dict[str, str]:
    return {**os.environ, **settings.as_environ(), "PYTHONUNBUFFERED": "1"}
