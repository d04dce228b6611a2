"""The GPU's model repository: Triton's own schema reads it, and it promises what the CPU's does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInstanceGroup
from tritonclient.grpc.service_pb2 import ModelMetadataResponse

from engine.builds.tensorrt import PROFILES
from engine.config import Settings
from engine.infer.contract import read_contract

REPOSITORIES = Path(__file__).parents[2] / "triton_models"
NAMES = sorted(one.parent.name for one in (REPOSITORIES / "gpu").glob("*/config.pbtxt"))


def read(repository: str, name: str) -> Any:
    text = (REPOSITORIES / repository / name / "config.pbtxt").read_text()
    return text_format.Parse(text, ModelConfig())


@pytest.fixture(params=NAMES)
def gpu(request: pytest.FixtureRequest) -> Any:
    return read("gpu", request.param)


@pytest.fixture
def cpu(gpu: Any) -> Any:
    return read("cpu", gpu.name)


def test_there_is_a_model() -> None:
    assert "unet-lv" in NAMES


def test_the_contract_is_the_cpus(gpu: Any, cpu: Any) -> None:
    """Names, types and shapes of all tensors but `about`, which only our backend makes."""
    theirs = [one for one in cpu.output if one.name != "about"]
    assert [*gpu.input] == [*cpu.input]
    assert [*gpu.output] == theirs
    for name in ("labels", "trained_range"):
        assert gpu.parameters[name].string_value == cpu.parameters[name].string_value
    assert gpu.dynamic_batching == cpu.dynamic_batching
    assert gpu.version_policy == cpu.version_policy


def test_a_worker_can_use_it(gpu: Any) -> None:
    """What the client reads of a model without `about`: the digest of the version that answers."""
    gpu.parameters["digest:2"].string_value = "d" * 64
    gpu.parameters["precision:2"].string_value = "fp16"
    metadata = ModelMetadataResponse(name=gpu.name)
    for ours, theirs in ((gpu.input, metadata.inputs), (gpu.output, metadata.outputs)):
        for one in ours:
            kind = {"TYPE_UINT8": "UINT8", "TYPE_FP32": "FP32"}[_kind(one)]
            theirs.add(name=one.name, datatype=kind, shape=[-1, *one.dims])
    kept = read_contract(metadata, gpu)
    assert kept.max_batch >= Settings().max_batch
    assert kept.labels == ("left-ventricle-cavity",)
    assert not kept.has_about
    assert kept.instances == 2
    assert (kept.told("digest", "2"), kept.told("precision", "2")) == ("d" * 64, "fp16")
    assert kept.told("digest", "1") == "unknown"


def _kind(tensor: Any) -> str:
    return str(
        type(tensor)
        .DESCRIPTOR.fields_by_name["data_type"]
        .enum_type.values_by_number[tensor.data_type]
        .name
    )


def test_it_is_tensorrts_and_on_a_gpu(gpu: Any) -> None:
    assert (gpu.platform, gpu.backend) == ("tensorrt_plan", "tensorrt")
    assert gpu.default_model_filename == "model.plan"
    for group in gpu.instance_group:
        assert group.kind == ModelInstanceGroup.KIND_GPU
        assert [int(number) for number in group.profile] == list(range(len(PROFILES)))


def test_every_batch_fits_a_profile(gpu: Any) -> None:
    sizes = range(1, gpu.max_batch_size + 1)
    assert all(any(one.least <= size <= one.most for one in PROFILES) for size in sizes)
    assert max(one.most for one in PROFILES) == gpu.max_batch_size
    assert Settings().max_batch in [one.best for one in PROFILES]


def test_every_batch_has_a_cuda_graph(gpu: Any) -> None:
    """The ranges of the graphs follow one another without a hole, up to the largest batch."""
    cuda = gpu.optimization.cuda
    assert cuda.graphs
    ends = [(spec.graph_lower_bound.batch_size, spec.batch_size) for spec in cuda.graph_spec]
    assert [low for low, _ in ends] == [1, *(high + 1 for _, high in ends[:-1])]
    assert ends[-1][1] == gpu.max_batch_size
    dims = list(gpu.input[0].dims)
    for spec in cuda.graph_spec:
        assert {name: list(shape.dim) for name, shape in spec.input.items()} == {"image": dims}
        assert list(spec.graph_lower_bound.input["image"].dim) == dims


def test_the_warm_up_feeds_what_the_model_takes(gpu: Any, cpu: Any) -> None:
    for config in (gpu, cpu):
        taken = {one.name: (one.data_type, list(one.dims)) for one in config.input}
        assert [each.batch_size for each in config.model_warmup]
        for each in config.model_warmup:
            assert each.batch_size <= config.max_batch_size
            fed = {name: (one.data_type, list(one.dims)) for name, one in each.inputs.items()}
            assert fed == taken


def test_no_plan_is_committed() -> None:
    assert not list((REPOSITORIES / "gpu").rglob("*.plan"))
