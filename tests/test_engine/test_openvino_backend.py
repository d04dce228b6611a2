"""Our backend in the real Triton: any model, any file of its version folder, clear refusals.

Over 300 lines: all of it loads the one file of the backend through the same stand-in for Triton.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import sys
import types
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import openvino
import pytest
from google.protobuf import json_format, text_format
from tiny_onnx import write_doubler
from tritonclient.grpc import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.grpc.model_config_pb2 import ModelConfig
from tritonclient.utils import InferenceServerException

from engine.config import Settings
from engine.local.triton import BACKENDS, Triton

pytestmark = pytest.mark.triton

CONFIG = """
backend: "scanstream_openvino"
max_batch_size: 8
input [ {{ name: "picture" data_type: {kind} dims: [ 1, {side}, 8 ] }} ]
output [ {{ name: "{output}" data_type: TYPE_FP32 dims: [ 1, 8, 8 ] }}{about} ]
instance_group [ {{ kind: KIND_CPU count: 1 }} ]
dynamic_batching {{
  max_queue_delay_microseconds: 400000
  preferred_batch_size: [ 8 ]
  default_queue_policy {{ allow_timeout_override: true {timeout} }}
}}
version_policy: {{ all {{ }} }}
parameters [ {{ key: "precision" value: {{ string_value: "{precision}" }} }} ]
"""
ABOUT = ', { name: "about" data_type: TYPE_UINT8 dims: [ 160 ] }'


def write_model(repository: Path, name: str, **given: Any) -> Path:
    """Write a model of one version, with both files; return the version's folder."""
    version = repository / name / "1"
    version.mkdir(parents=True)
    words = {"kind": "TYPE_FP32", "side": 8, "output": "doubled", "about": "", "precision": "fp32"}
    words["timeout"] = "default_timeout_microseconds: 20000000"
    (repository / name / "config.pbtxt").write_text(CONFIG.format(**words | given))
    write_doubler(version / "model.onnx")
    write_doubler(version / "model.int8.onnx", quantised=True)
    return version


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models that are served from the start: `doubler` in two versions, and `eighth`."""
    folder = tmp_path_factory.mktemp("models")
    first = write_model(folder, "doubler", about=ABOUT)
    (first.parent / "2").mkdir()
    write_doubler(first.parent / "2" / "model.onnx", factor=3)
    write_model(folder, "eighth", about=ABOUT, precision="int8")
    return folder


@pytest.fixture(scope="module")
def client(
    repository: Path, triton: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[InferenceServerClient]:
    """A client of a server with this repository. `triton` says why where there can be none."""
    with pytest.MonkeyPatch.context() as patch:
        # the environment wins over the models' parameters, which are what is tested
        patch.setattr("engine.local.triton._environment", _without_precision())
        with Triton(tmp_path_factory.mktemp("server"), repository, Settings()) as server:
            client = InferenceServerClient(server.address)
            yield client
            client.close()


def _without_precision() -> Any:
    from engine.local.triton import _environment

    return lambda *given: _environment(*given) | {"SCANSTREAM_PRECISION": ""}


def ask(client: InferenceServerClient, model: str, values: np.ndarray, **given: Any) -> Any:
    tensor = InferInput("picture", list(values.shape), "FP32")
    tensor.set_data_from_numpy(values)
    wanted = [InferRequestedOutput(name) for name in given.pop("outputs", ("doubled",))]
    return client.infer(model, [tensor], outputs=wanted, client_timeout=30, **given)


def pictures(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (count, 1, 8, 8)).astype(np.float32)


def test_names_types_and_shapes_are_the_configurations(client: InferenceServerClient) -> None:
    given = pictures(3)
    found = ask(client, "doubler", given, model_version="1").as_numpy("doubled")
    np.testing.assert_allclose(found, 2 * given, rtol=1e-6)


def test_versions_stand_side_by_side(client: InferenceServerClient, repository: Path) -> None:
    given = pictures(1)
    for version, factor in (("1", 2), ("2", 3)):
        outputs = ("doubled", "about")
        answer = ask(client, "doubler", given, model_version=version, outputs=outputs)
        np.testing.assert_allclose(answer.as_numpy("doubled"), factor * given, rtol=1e-6)
        weights = (repository / "doubler" / version / "model.onnx").read_bytes()
        about = json.loads(answer.as_numpy("about")[0].tobytes())
        assert about["digest"] == hashlib.sha256(weights).hexdigest()
        assert about["precision"] == "fp32"


def test_int8_is_another_file_of_the_version(
    client: InferenceServerClient, repository: Path
) -> None:
    given = np.round(pictures(2), 1)  # what the quantised file can hold exactly
    answer = ask(client, "eighth", given, outputs=("doubled", "about"))
    np.testing.assert_allclose(answer.as_numpy("doubled"), 2 * given, atol=0.05)
    about = json.loads(answer.as_numpy("about")[0].tobytes())
    weights = (repository / "eighth" / "1" / "model.int8.onnx").read_bytes()
    assert about["digest"] == hashlib.sha256(weights).hexdigest()


def test_requests_side_by_side_get_their_own_answers(client: InferenceServerClient) -> None:
    """Triton joins them: eight pictures in fewer runs than there are requests."""
    before = executions(client)
    given = [pictures(count, seed=count) for count in (1, 2, 3, 2)]
    with ThreadPoolExecutor(len(given)) as pool:
        answers = list(pool.map(lambda one: ask(client, "doubler", one, model_version="1"), given))
    for one, answer in zip(given, answers, strict=True):
        np.testing.assert_allclose(answer.as_numpy("doubled"), 2 * one, rtol=1e-6)
    assert executions(client) - before < len(given)


def test_a_request_bounds_its_time_in_the_queue(client: InferenceServerClient) -> None:
    """It waits for others to join it, for longer than it asked for."""
    with pytest.raises(InferenceServerException, match="Request timeout expired"):
        ask(client, "doubler", pictures(1), timeout=20_000)


def test_without_a_longer_default_the_bound_is_not_taken(
    client: InferenceServerClient, repository: Path
) -> None:
    """Triton's trap, for which `read_contract` looks: should this fail, it has been mended."""
    write_model(repository, "patient", timeout="")
    client.load_model("patient")
    assert ask(client, "patient", pictures(1), timeout=20_000).as_numpy("doubled") is not None


def executions(client: InferenceServerClient) -> int:
    statistics = client.get_inference_statistics("doubler", "1")
    return int(statistics.model_stats[0].execution_count)


def test_a_configuration_of_another_file_is_refused_at_load(
    client: InferenceServerClient, repository: Path
) -> None:
    write_model(repository, "wrong", output="tripled")
    words = "model wrong: the file has no output tripled: doubled"
    with pytest.raises(InferenceServerException, match=words):
        client.load_model("wrong")


class Refused(Exception):
    """Stands for Triton's own exception, outside of Triton."""


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The backend's module in this process, with what it takes from Triton for its checks."""
    kinds = {"TYPE_FP32": np.float32, "TYPE_UINT8": np.uint8}
    said: list[str] = []
    utils = types.SimpleNamespace(
        TritonModelException=Refused,
        triton_string_to_numpy=kinds.get,
        Logger=types.SimpleNamespace(log_warn=said.append, said=said),
    )
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", utils)
    for name in ("SCANSTREAM_PRECISION", "SCANSTREAM_MODEL_THREADS"):
        monkeypatch.delenv(name, raising=False)
    spec = importlib.util.spec_from_file_location(
        "backend", BACKENDS / "scanstream_openvino" / "model.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def load(backend: Any, version: Path) -> Any:
    """Initialize the model of a version's folder as Triton does."""
    text = (version.parent / "config.pbtxt").read_text()
    config = text_format.Parse(text, ModelConfig(name=version.parent.name))
    told = json_format.MessageToDict(config, preserving_proto_field_name=True)
    model = backend.TritonPythonModel()
    model.initialize(
        {
            "model_config": json.dumps(told),
            "model_repository": str(version.parent),
            "model_version": version.name,
        }
    )
    return model


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"precision": "int4"}, "precision must be auto, fp32, bf16 or int8, got int4"),
        ({"output": "tripled"}, "the file has no output tripled: doubled"),
        ({"kind": "TYPE_UINT8"}, "input picture is float32, config.pbtxt says uint8"),
        ({"side": 9}, "input picture is .*1,8,8.*, config.pbtxt .*9"),
        ({"about": ABOUT.replace("160", "60")}, "output about has 60 bytes"),
    ],
)
def test_a_wrong_configuration_is_refused(
    backend: Any, tmp_path: Path, given: dict[str, str], words: str
) -> None:
    version = write_model(tmp_path, "wrong", **given)
    with pytest.raises(Refused, match=f"model wrong: {words}"):
        load(backend, version)


def test_an_input_that_nobody_would_feed_is_refused(backend: Any, tmp_path: Path) -> None:
    """OpenVINO would run it on whatever lies in that input's memory."""
    path = write_model(tmp_path, "hungry") / "model.onnx"
    net = onnx.load(path)
    net.graph.node[-1].output[0] = "before"
    net.graph.node.append(onnx.helper.make_node("Add", ["before", "bias"], ["doubled"]))
    net.graph.input.add().CopyFrom(net.graph.input[0])
    net.graph.input[-1].name = "bias"
    onnx.save(net, path)
    with pytest.raises(Refused, match=r"model hungry: config\.pbtxt has no input bias"):
        load(backend, path.parent)


@pytest.mark.parametrize(
    ("file", "precision", "words"),
    [
        ("model.onnx", "fp32", "version 1 has no model.onnx: every version needs it"),
        ("model.int8.onnx", "int8", "version 1 has no model.int8.onnx: build it with"),
    ],
)
def test_a_missing_file_is_refused(
    backend: Any, tmp_path: Path, file: str, precision: str, words: str
) -> None:
    version = write_model(tmp_path, "lacking", precision=precision)
    (version / file).unlink()
    with pytest.raises(Refused, match=words):
        load(backend, version)


def test_a_damaged_file_is_refused(backend: Any, tmp_path: Path) -> None:
    version = write_model(tmp_path, "damaged")
    (version / "model.onnx").write_bytes(b"\x08not a network")
    with pytest.raises(Refused, match=r"OpenVINO cannot compile model\.onnx"):
        load(backend, version)


def test_auto_is_int8_where_it_was_built_else_what_the_processor_has(
    backend: Any, tmp_path: Path
) -> None:
    for capabilities, expected in ((["FP32", "BF16"], "bf16"), (["FP32", "INT8"], "fp32")):
        core = types.SimpleNamespace(get_property=lambda *_, has=capabilities: has)
        assert backend.chosen(core, "auto", tmp_path) == expected
        assert backend.chosen(core, "int8", tmp_path) == "int8"
    (tmp_path / "model.int8.onnx").touch()
    assert backend.chosen(core, "auto", tmp_path) == "int8"
    assert backend.chosen(core, "fp32", tmp_path) == "fp32"


def test_the_environment_wins(
    backend: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = write_model(tmp_path, "m", precision="fp32", about=ABOUT)
    plain = json.loads(load(backend, version).about.tobytes())
    monkeypatch.setenv("SCANSTREAM_PRECISION", "int8")
    eighth = json.loads(load(backend, version).about.tobytes())
    digests = [
        hashlib.sha256((version / name).read_bytes()).hexdigest()
        for name in ("model.onnx", "model.int8.onnx")
    ]
    assert [plain["digest"], eighth["digest"]] == digests


@pytest.fixture
def compiled_ahead(tmp_path: Path) -> Path:
    """A version folder with a blob, as `model build` writes it."""
    version = write_model(tmp_path, "ahead", precision="fp32", about=ABOUT)
    source = version / "model.onnx"
    blob = version / "model.fp32.blob"
    compiled = openvino.Core().compile_model(
        str(source), "CPU", {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    )
    exported = compiled.export_model()
    blob.write_bytes(exported if isinstance(exported, bytes) else exported.read())
    told = {"source_sha256": sha256(source), "files": {blob.name: sha256(blob)}}
    (version / "model.fp32.json").write_text(json.dumps(told))
    return version


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_blob_is_loaded_in_place_of_compiling(
    backend: Any, compiled_ahead: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def compile_model(*_: Any) -> None:
        raise AssertionError("it was compiled")

    fresh = load(backend, compiled_ahead)
    monkeypatch.setattr(openvino.Core, "compile_model", compile_model)
    ahead = load(backend, compiled_ahead)
    given = pictures(3)
    found = ahead.request.infer({"picture": given})["doubled"]
    np.testing.assert_array_equal(found, fresh.request.infer({"picture": given})["doubled"])
    assert json.loads(ahead.about.tobytes()) == json.loads(fresh.about.tobytes())
    assert json.loads(ahead.about.tobytes())["digest"] == sha256(compiled_ahead / "model.onnx")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        ("weights", "was not built from model.onnx"),
        ("record", "was not built from model.onnx"),
        ("blob", "was not built from model.onnx"),
        ("openvino", "of another OpenVINO or processor"),
    ],
)
def test_a_blob_of_anything_else_is_told_and_not_used(
    backend: Any, compiled_ahead: Path, spoil: str, words: str
) -> None:
    blob, record = compiled_ahead / "model.fp32.blob", compiled_ahead / "model.fp32.json"
    if spoil == "weights":
        write_doubler(compiled_ahead / "model.onnx", factor=5)
    elif spoil == "record":
        record.unlink()
    else:
        blob.write_bytes(b"9999.9.9" + blob.read_bytes()[8:])
    if spoil == "openvino":
        told = json.loads(record.read_text())
        record.write_text(json.dumps(told | {"files": {blob.name: sha256(blob)}}))
    model = load(backend, compiled_ahead)
    assert words in "".join(backend.pb_utils.Logger.said)
    factor = 5 if spoil == "weights" else 2
    given = pictures(1)
    found = model.request.infer({"picture": given})["doubled"]
    np.testing.assert_allclose(found, factor * given, rtol=1e-6)
