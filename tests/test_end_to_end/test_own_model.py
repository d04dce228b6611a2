"""docs/bring-your-own-model.md is true: by its commands a foreign network serves real frames."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import openvino
import pydicom
import pytest
from pydicom.data import get_testdata_file
from tiny_transformer import transformer

from engine.enhance import enhance
from engine.ingest.validate import read_file
from engine.local.triton import find_wheel
from engine.messages import Mask
from engine.phantom import Phantom, dicom_objects
from engine.postprocess import decode_mask, segment

pytestmark = [pytest.mark.kafka, pytest.mark.triton]

LABELS = ["liver", "tumour"]
FRAMES = 3  # one of CT, two of cine MR


@pytest.fixture(scope="module")
def page(checkout: Path) -> str:
    return (checkout / "docs" / "bring-your-own-model.md").read_text()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, checkout: Path) -> Path:
    """What the reader has: the checkout's models, a network, and a study of CT and cine MR."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "triton_models").symlink_to(checkout / "triton_models")
    onnx.save(transformer(len(LABELS) + 1), folder / "organ.onnx")
    study = folder / "study"
    study.mkdir()
    shutil.copy(str(get_testdata_file("CT_small.dcm")), study / "ct.dcm")
    for number, each in enumerate(
        islice(dicom_objects(Phantom(seed=5, slices=3, phases=2)), FRAMES - 1)
    ):
        each.save_as(study / f"mr{number}.dcm", enforce_file_format=True)
    return folder


def commands(page: str) -> list[tuple[dict[str, str], list[str]]]:
    """Return environment and words of each command of the page, in order."""
    found = []
    for line in "".join(re.findall(r"```sh\n(.*?)```", page, flags=re.DOTALL)).splitlines():
        words = shlex.split(line)
        given = {}
        while re.fullmatch(r"[A-Z_]+=.*", words[0]):
            name, _, value = words.pop(0).partition("=")
            given[name] = value
        if words[0] == ".venv/bin/scanstream":
            words[:1] = [sys.executable, "-m", "engine.cli"]
        found.append((given, words))
    return found


@pytest.fixture(scope="module")
def run(folder: Path, checkout: Path) -> Any:
    """Run one command of the page in the reader's folder, and return what it prints."""

    def call(words: list[str], **environment: str) -> str:
        environment = {"PYTHONPATH": str(checkout), **environment}
        done = subprocess.run(
            words,
            cwd=folder,
            env=os.environ | environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return call


def follow(words: list[str], environment: dict[str, str], folder: Path) -> list[dict[str, Any]]:
    """Return the first results that the page's command prints, waiting for them."""
    with subprocess.Popen(
        [*words, "--follow"], cwd=folder, env=environment, stdout=subprocess.PIPE, text=True
    ) as reader:
        try:
            assert reader.stdout is not None
            return [json.loads(line) for line in islice(reader.stdout, FRAMES)]
        finally:
            reader.terminate()


@pytest.fixture(scope="module")
def results(
    page: str, folder: Path, checkout: Path, run: Any, start_or_skip: Any
) -> Iterator[list[dict[str, Any]]]:
    """Follow the page to its end, and give what it ends with."""
    start_or_skip(SimpleNamespace(start=find_wheel))
    (_, copy), (_, add), (given, up), (_, send), (_, read) = commands(page)
    run(copy)
    printed = run(add)
    (routes,) = re.findall(r"```toml\n(.*?)```", page, flags=re.DOTALL)
    assert printed[printed.index("[[route]]") :].strip() in routes
    (folder / "routes.toml").write_text(routes)
    environment = {**os.environ, **given, "PYTHONPATH": str(checkout)}
    log = folder / "up.log"
    with (
        log.open("w") as stderr,
        subprocess.Popen(
            [*up, "--free-ports", "--json"],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        ) as stack,
    ):
        try:
            assert stack.stdout is not None
            line = stack.stdout.readline()
            assert line, log.read_text()
            where = json.loads(line)
            port = where["gateway"].rpartition(":")[2]
            run(send, SCANSTREAM_PORT=port)
            yield follow(read, environment | {"SCANSTREAM_BROKER": where["broker"]}, folder)
        finally:
            stack.terminate()
            stack.wait(60)


def test_ct_goes_to_the_new_model_and_cine_to_ours(results: Any, folder: Path) -> None:
    """Two models, each with its own frames, name, version, digest and labels."""
    by_route: dict[str, list[Any]] = {}
    for one in results:
        by_route.setdefault(one["route"], []).append(one)
    assert {name: len(some) for name, some in by_route.items()} == {"cine": 2, "liver": 1}
    (ct,) = by_route["liver"]
    assert ct["status"] in ("ok", "degraded")
    weights = folder / "models" / "liver" / "1" / "model.onnx"
    assert (ct["model"]["name"], ct["model"]["version"]) == ("liver", "1")
    assert ct["model"]["digest"] == _sha256(weights)
    assert [one["label"] for one in ct["findings"]] == LABELS
    assert all(0 < one["confidence"] <= 1 and one["pixels"] > 0 for one in ct["findings"])
    for one in by_route["cine"]:
        assert one["model"]["name"] == "unet-lv"
        assert one["model"]["digest"] != ct["model"]["digest"]


def test_its_masks_are_those_of_the_file(results: Any, folder: Path) -> None:
    """What came over Kafka is what the network says of the chain's picture."""
    path = folder / "study" / "ct.dcm"
    info = read_file(path.read_bytes()).first
    picture = enhance(pydicom.dcmread(path).pixel_array, info, "plain")
    weights = folder / "models" / "liver" / "1" / "model.onnx"
    options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    request = openvino.Core().compile_model(str(weights), "CPU", options).create_infer_request()
    mask = request.infer({"image": picture[None, None]})["mask"][0]
    expected = segment(mask, (info.rows, info.columns))
    (ct,) = [one for one in results if one["route"] == "liver"]
    for number, one in enumerate(ct["masks"], 1):
        got = decode_mask(_mask(one))
        assert np.mean(got == (expected == number)) > 0.99


def _mask(raw: dict[str, Any]) -> Any:
    return Mask(label=raw["label"], size=tuple(raw["size"]), counts=raw["counts"])


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
