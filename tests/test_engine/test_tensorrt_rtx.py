"""TensorRT-RTX builds an engine of the committed network, on a machine without a GPU."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_onnx import write_doubler

from engine.builds import tensorrt, tensorrt_rtx
from engine.builds.tensorrt_rtx import PACKAGE
from engine.errors import BuildRefused, ConfigError
from engine.local.stack import MODELS

WEIGHTS = max((MODELS / "unet-lv").glob("[0-9]*"), key=lambda one: int(one.name)) / "model.onnx"
# CI must have the package: there a missing one fails.
needs_rtx = pytest.mark.skipif(
    os.environ.get("CI") != "true" and importlib.util.find_spec(PACKAGE) is None,
    reason=str(tensorrt_rtx.missing()),
)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The committed network as an engine, fp32."""
    return tensorrt_rtx.make(WEIGHTS, "fp32", None, tmp_path_factory.mktemp("engine"))


@needs_rtx
def test_the_committed_network_is_built(engine: Path) -> None:
    found = tensorrt_rtx.notes(engine)
    assert found["inputs"] == {"image": ["UINT8", -1, 1, 256, 256]}
    assert found["outputs"] == {
        "mask": ["UINT8", -1, 256, 256],
        "confidence": ["FLOAT", -1, 1],
    }
    assert found["profiles"] == [list(profile) for profile in tensorrt.PROFILES]
    assert found["layers"]["CONVOLUTION"] > 10
    assert list(found["convolutions_in"]) == ["FLOAT"]
    assert found["bytes"] == engine.stat().st_size > WEIGHTS.stat().st_size
    assert len(found["bound"]) == 3 * len(tensorrt.PROFILES)


@needs_rtx
@pytest.mark.parametrize(("precision", "kind"), [("fp16", "HALF"), ("int8", "INT8")])
def test_the_file_decides_the_precision(precision: str, kind: str, tmp_path: Path) -> None:
    """Networks are strongly typed: every convolution is of the type that the ONNX file has."""
    images = np.zeros((1, 1, 256, 256), np.uint8)
    images[0, 0, 96:160, 96:160] = 200
    calibration = images if precision == "int8" else None
    path = tensorrt_rtx.make(WEIGHTS, precision, calibration, tmp_path)
    found = tensorrt_rtx.notes(path)
    assert found["convolutions_in"] == {kind: sum(count_of(found, "CONVOLUTION", "DECONVOLUTION"))}
    assert found["inputs"]["image"][0] == found["outputs"]["mask"][0] == "UINT8"


def count_of(found: dict[str, Any], *kinds: str) -> list[int]:
    return [found["layers"].get(kind, 0) for kind in kinds]


@needs_rtx
def test_what_was_inspected_lies_beside_the_engine(engine: Path) -> None:
    told = json.loads((engine.parent / "inspection.json").read_text())
    assert told == tensorrt_rtx.notes(engine)
    assert str(engine.parent) not in json.dumps(told)
    assert told["tensorrt_rtx"] == importlib.import_module(PACKAGE).__version__


@needs_rtx
@pytest.mark.parametrize("damage", [lambda data: b"x" * len(data), lambda data: data[:40]])
def test_what_is_no_engine_is_refused(
    engine: Path, tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    bad = tmp_path / "bad.engine"
    bad.write_bytes(damage(engine.read_bytes()))
    with pytest.raises(BuildRefused, match=r"bad\.engine is no engine of TensorRT-RTX 1\."):
        tensorrt_rtx.inspect(bad)


@needs_rtx
def test_an_engine_without_our_tensors_is_refused(engine: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.engine"
    bad.write_bytes(engine.read_bytes().replace(b"confidence", b"cOnfidence"))
    with pytest.raises(BuildRefused, match="binds no tensor confidence"):
        tensorrt_rtx.inspect(bad)


@needs_rtx
def test_a_network_of_another_contract_is_refused(tmp_path: Path) -> None:
    source = write_doubler(tmp_path / "model.onnx")
    with pytest.raises(BuildRefused, match="has the tensors picture, doubled; needed: image"):
        tensorrt_rtx.make(source, "fp32", None, tmp_path)
    assert not (tmp_path / "model.engine").exists()


@needs_rtx
def test_what_the_parser_says_is_passed_on(tmp_path: Path) -> None:
    source = tmp_path / "model.onnx"
    source.write_bytes(b"no network")
    with pytest.raises(BuildRefused, match=r"cannot read model\.onnx: \S+"):
        tensorrt_rtx.make(source, "fp32", None, tmp_path)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="pip install tensorrt-rtx-cu13"):
        tensorrt_rtx.make(WEIGHTS, "fp32", None, tmp_path)


class TestPlan:
    """Target `tensorrt`, with a `trtexec` that only writes down what it was told."""

    @pytest.fixture
    def trtexec(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        folder = tmp_path / "bin"
        folder.mkdir()
        said = tmp_path / "arguments"
        program = folder / "trtexec"
        program.write_text(
            "#!/bin/sh\n"
            'echo "&&&& RUNNING TensorRT.trtexec [TensorRT v110400] # trtexec $*"\n'
            f'for each; do echo "$each" >>{said}; case $each in\n'
            "--saveEngine=*) echo plan >${each#--saveEngine=};;\n"
            f"esac; done; [ ! -e {tmp_path}/fail ] || "
            "{ echo '[E] Error[9]: no kernel'; echo 'the end'; exit 3; }\n"
        )
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
        return said

    def test_a_plan_is_made(self, trtexec: Path, tmp_path: Path) -> None:
        assert tensorrt.missing() is None
        out = tmp_path / "out"
        out.mkdir()
        path = tensorrt.make(WEIGHTS, "fp32", None, out)
        assert path.read_text() == "plan\n"
        told = trtexec.read_text().splitlines()
        assert told[0] == f"--onnx={WEIGHTS}"
        assert f"--timingCacheFile={out / 'timing.cache'}" in told
        assert [one for one in told if one.startswith("--optShapes")] == [
            f"--optShapes=image:{count}x1x256x256" for count in (1, 8, 64)
        ]
        assert tensorrt.notes(path)["tensorrt"] == "110400"

    def test_a_failed_build_leaves_no_plan(self, trtexec: Path, tmp_path: Path) -> None:
        (tmp_path / "fail").touch()
        out = tmp_path / "out"
        out.mkdir()
        with pytest.raises(BuildRefused, match=r"trtexec ended with 3: \[E\] Error\[9\]: no kern"):
            tensorrt.make(WEIGHTS, "fp32", None, out)
        assert not list(out.glob("*.plan"))

    def test_an_empty_plan_is_none(self, trtexec: Path, tmp_path: Path) -> None:
        program = tmp_path / "bin" / "trtexec"
        program.write_text(program.read_text().replace("echo plan >", ": >"))
        with pytest.raises(BuildRefused, match="trtexec ended with 0"):
            tensorrt.make(WEIGHTS, "fp32", None, tmp_path)
        assert not list(tmp_path.glob("*.plan"))

    def test_a_build_without_end_is_ended(
        self, trtexec: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        os.mkfifo(tmp_path / "nobody_writes")
        program = tmp_path / "bin" / "trtexec"
        program.write_text(f"#!/bin/sh\nread line <{tmp_path}/nobody_writes\n")
        monkeypatch.setattr(tensorrt, "LIMIT_S", 0.2)
        with pytest.raises(BuildRefused, match="trtexec took longer than"):
            tensorrt.make(WEIGHTS, "fp32", None, tmp_path)

    def test_elsewhere_it_says_where(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(ConfigError, match="inside Triton's container"):
            tensorrt.make(WEIGHTS, "fp32", None, tmp_path)
