"""deploy/triton: its entry script, run with a `trtexec` and a `tritonserver` that only write down.

No container and no GPU are here: what the real programs do is not shown by this.

Long, because the entry script, which no machine here can run for real, is tried fault by fault.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from engine.builds import onnx_file, tensorrt
from engine.local.stack import MODELS

CHECKOUT = MODELS.parents[1]
FOLDER = CHECKOUT / "deploy" / "triton"
ENTRY = FOLDER / "entry.sh"
CONFIG = CHECKOUT / "triton_models" / "gpu" / "unet-lv" / "config.pbtxt"

TRTEXEC = """#!/bin/sh
echo "&&&& RUNNING TensorRT.trtexec [TensorRT v$VERSION] # trtexec"
[ "$1" != --help ] || exit 0
for each; do
    echo "$each" >>"$LOG/trtexec"
    case $each in
        --onnx=*) onnx=${each#--onnx=} ;;
        --saveEngine=*) plan=${each#--saveEngine=} ;;
        --timingCacheFile=*) echo cache >"${each#--timingCacheFile=}" ;;
    esac
done
echo --- >>"$LOG/trtexec"
case $FAIL in
    dies) echo half >"$plan"; echo "[E] no kernel"; exit 1 ;;
    empty) : >"$plan"; exit 0 ;;
    killed) echo half >"$plan"; kill -9 $PPID ;;
esac
echo "plan of $(cat "$onnx") by $VERSION" >"$plan"
"""
SERVER = """#!/bin/sh
for each; do echo "$each" >>"$LOG/tritonserver"; done
"""


@dataclass
class Container:
    """What the script finds in its container, in folders of this test."""

    root: Path
    version: str = "110400"
    gpu: str = "NVIDIA H100 80GB HBM3, 9.0"
    gpu_exit: int = 0
    fail: str = "no"
    precision: str = "auto"

    @property
    def source(self) -> Path:
        return self.root / "source"

    @property
    def models(self) -> Path:
        return self.root / "models"

    def version_folder(self, version: str, model: str = "unet-lv") -> Path:
        return self.models / "repository" / model / version

    def plan(self, version: str = "1") -> str:
        return (self.version_folder(version) / "model.plan").read_text().strip()

    def write(self, version: str, text: str, file: str = "model.onnx") -> str:
        """Write a source file; return its SHA-256."""
        path = self.source / "cpu" / "unet-lv" / version / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return hashlib.sha256(text.encode()).hexdigest()

    def program(self, name: str, text: str) -> None:
        path = self.root / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)

    def start(self, *given: str) -> subprocess.CompletedProcess[str]:
        told = f"#!/bin/sh\nprintf %s '{self.gpu}'\nexit {self.gpu_exit}\n"
        self.program("nvidia-smi", told)
        environ = {
            "PATH": f"{self.root / 'bin'}:/usr/bin:/bin",
            "SOURCE": str(self.source),
            "MODELS": str(self.models),
            "PRECISION": self.precision,
            "LOG": str(self.root),
            "VERSION": self.version,
            "FAIL": self.fail,
        }
        return subprocess.run(
            ["sh", str(ENTRY), *given],
            env=environ,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    def builds(self) -> list[list[str]]:
        """The arguments of every build so far."""
        log = self.root / "trtexec"
        text = log.read_text() if log.exists() else ""
        return [one.split("\n")[:-1] for one in text.split("---\n")[:-1]]

    def served(self) -> list[str]:
        log = self.root / "tritonserver"
        return log.read_text().splitlines() if log.exists() else []

    def config(self) -> Any:
        path = self.models / "repository" / "unet-lv" / "config.pbtxt"
        return text_format.Parse(path.read_text(), ModelConfig())


@pytest.fixture
def container(tmp_path: Path) -> Container:
    """A container with one version of our model in its source."""
    made = Container(tmp_path)
    made.models.mkdir()
    made.write("1", "weights one")
    (made.source / "gpu" / "unet-lv").mkdir(parents=True)
    shutil.copy(CONFIG, made.source / "gpu" / "unet-lv")
    made.program("trtexec", TRTEXEC)
    made.program("tritonserver", SERVER)
    return made


def test_the_first_start_builds_and_serves(container: Container) -> None:
    digest = container.write("1", "weights one")
    done = container.start("--log-verbose=1")
    assert done.returncode == 0, done.stderr
    assert container.plan() == "plan of weights one by 110400"
    config = container.config()
    assert config.parameters["digest:1"].string_value == digest
    assert config.parameters["precision:1"].string_value == "fp32"
    assert config.parameters["labels"].string_value == "left-ventricle-cavity"
    told = container.served()
    assert f"--model-repository={container.models / 'repository'}" in told
    for option in (
        "--model-control-mode=explicit",
        "--load-model=*",
        "--strict-readiness=true",
        "--allow-client-shm=true",
    ):
        assert option in told
    assert told[-1] == "--log-verbose=1"
    left = {one.name for one in container.models.iterdir()}
    assert left == {"repository", "timing.cache", "build.log", "lock"}


def test_the_arguments_are_those_of_the_target(container: Container) -> None:
    container.start()
    onnx = container.source / "cpu" / "unet-lv" / "1" / "model.onnx"
    plan, cache = container.models / "building.plan", container.models / "timing.cache"
    assert container.builds() == [tensorrt.arguments(onnx, plan, cache)]


def test_the_second_start_reuses_the_plan(container: Container) -> None:
    assert container.start().returncode == 0
    before = (container.version_folder("1") / "model.plan").stat().st_mtime_ns
    done = container.start()
    assert done.returncode == 0
    assert "up to date" in done.stderr
    assert len(container.builds()) == 1
    assert (container.version_folder("1") / "model.plan").stat().st_mtime_ns == before
    assert container.served().count("--strict-readiness=true") == 2
    assert "digest:1" in container.config().parameters


@pytest.mark.parametrize("change", ["onnx", "tensorrt", "gpu"])
def test_a_plan_of_something_else_is_built_again(container: Container, change: str) -> None:
    assert container.start().returncode == 0
    if change == "onnx":
        container.write("1", "weights two")
    elif change == "tensorrt":
        container.version = "110500"
    else:
        container.gpu = "NVIDIA L4, 8.9"
    assert container.start().returncode == 0
    assert len(container.builds()) == 2
    weights = "two" if change == "onnx" else "one"
    assert container.plan() == f"plan of weights {weights} by {container.version}"


@pytest.mark.parametrize("how", ["dies", "empty", "killed"])
def test_a_failed_build_serves_nothing_and_leaves_no_plan(container: Container, how: str) -> None:
    container.fail = how
    done = container.start()
    assert done.returncode != 0
    assert not list((container.models / "repository").rglob("*.plan"))
    assert container.served() == []
    if how != "killed":
        assert "unet-lv version 1: trtexec failed" in done.stderr
        assert not container.version_folder("1").exists()
        assert not list(container.models.glob("*.plan"))
    container.fail = "no"
    assert container.start().returncode == 0
    assert container.plan() == "plan of weights one by 110400"


def test_a_failed_rebuild_is_tried_again_and_not_served(container: Container) -> None:
    assert container.start().returncode == 0
    container.write("1", "weights two")
    container.fail = "dies"
    assert container.start().returncode == 1
    assert container.served().count("--strict-readiness=true") == 1
    container.fail = "no"
    assert container.start().returncode == 0
    assert container.plan() == "plan of weights two by 110400"


def test_versions_stand_side_by_side_and_go(container: Container) -> None:
    digests = [container.write("1", "weights one"), container.write("2", "weights two")]
    assert container.start().returncode == 0
    told = container.config().parameters
    assert [told[f"digest:{number}"].string_value for number in (1, 2)] == digests
    shutil.rmtree(container.source / "cpu" / "unet-lv" / "1")
    assert container.start().returncode == 0
    assert not container.version_folder("1").exists()
    assert container.plan("2") == "plan of weights two by 110400"
    assert "digest:1" not in container.config().parameters
    assert len(container.builds()) == 2


def test_a_model_that_was_taken_away_is_not_served(container: Container) -> None:
    other = container.source / "gpu" / "other"
    shutil.copytree(container.source / "gpu" / "unet-lv", other)
    shutil.copytree(container.source / "cpu" / "unet-lv", container.source / "cpu" / "other")
    assert container.start().returncode == 0
    assert container.version_folder("1", "other").exists()
    shutil.rmtree(other)
    assert container.start().returncode == 0
    assert [one.name for one in (container.models / "repository").iterdir()] == ["unet-lv"]


@pytest.mark.parametrize(
    ("wanted", "there", "precision"),
    [
        ("auto", "fp16", "fp16"),
        ("auto", "int8", "fp32"),
        ("fp32", "fp16", "fp32"),
        ("int8", "int8", "int8"),
    ],
)
def test_the_precision_is_the_files(
    container: Container, wanted: str, there: str, precision: str
) -> None:
    # the names are those that the target `onnx` gives
    name = onnx_file.NAMES.get(there, f"model.{there}.onnx")
    container.write("1", f"weights {there}", name)
    container.precision = wanted
    assert container.start().returncode == 0
    assert container.config().parameters["precision:1"].string_value == precision
    weights = "one" if precision == "fp32" else precision
    assert container.plan() == f"plan of weights {weights} by 110400"


@pytest.mark.parametrize(
    ("precision", "words"),
    [
        ("fp16", "there is no .*model.fp16.onnx: make it with scanstream model build"),
        ("int4", "PRECISION must be auto, fp32, fp16 or int8, not int4"),
    ],
)
def test_a_precision_that_is_not_there_is_refused(
    container: Container, precision: str, words: str
) -> None:
    container.precision = precision
    done = container.start()
    assert done.returncode == 1
    assert container.served() == container.builds() == []
    assert re.search(words, done.stderr)


@pytest.mark.parametrize(
    ("without", "words"),
    [
        ("trtexec", "trtexec is not in this container"),
        ("gpu", "nvidia-smi sees no GPU"),
        ("driver", "nvidia-smi sees no GPU"),
    ],
)
def test_what_the_container_lacks_is_named(container: Container, without: str, words: str) -> None:
    if without == "trtexec":
        (container.root / "bin" / "trtexec").unlink()
    elif without == "gpu":
        container.gpu = ""
    else:  # what it says of it goes to standard output
        container.gpu = "NVIDIA-SMI has failed because it could not reach the driver"
        container.gpu_exit = 9
    done = container.start()
    assert done.returncode == 1
    assert words in done.stderr
    assert container.served() == []


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_the_script_is_a_script(shell: str) -> None:
    subprocess.run([shell, "-n", str(ENTRY)], check=True, timeout=10)
