"""A foreign ONNX file becomes a model that keeps the contract, or is refused and leaves nothing.

Over 300 lines, so that what is taken and what is refused are read side by side.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import openvino
import pytest
from google.protobuf import text_format
from onnx import TensorProto, helper
from skimage.transform import resize
from tiny_transformer import transformer
from tritonclient.grpc.model_config_pb2 import ModelConfig

from engine.builds.trial import pictures
from engine.cli import main
from engine.local.stack import MODELS
from engine.routes import Routes

LABELS = ("liver", "tumour")
THRESHOLD = 0.6
IMAGES = pictures("plain")


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def expected(logits: np.ndarray, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """Return mask and confidence, from the words of `Meaning` alone."""
    if logits.shape[1] == len(LABELS) + 1:
        every = softmax(logits)
        mask, chances = every.argmax(axis=1), every[:, 1:]
    else:
        chances = 1 / (1 + np.exp(-logits))
        mask = np.where(chances.max(axis=1) >= threshold, chances.argmax(axis=1) + 1, 0)
    means = [
        [chance[number][m == number + 1].mean() if (m == number + 1).any() else 0.0
         for number in range(len(LABELS))]
        for chance, m in zip(chances, mask, strict=True)
    ]  # fmt: skip
    return mask.astype(np.uint8), np.array(means, np.float32)


@pytest.fixture
def add(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """Save a net and call the command on it; returns exit code, its JSON, and what it complains."""

    def call(net: onnx.ModelProto | Path, *words: str, name: str = "liver") -> Any:
        path = tmp_path / "organ.onnx"
        if isinstance(net, Path):
            path = net
        else:
            onnx.save(net, path)
        given = ["--name", name, "--repository", str(tmp_path / "models"), "--json", *words]
        if "--labels" not in words:
            given += ["--labels", ",".join(LABELS)]
        code = main(["model", "add", str(path), *given])
        told = capsys.readouterr()
        return code, json.loads(told.out) if told.out else {}, told.err

    return call


def served(folder: str) -> tuple[np.ndarray, np.ndarray]:
    options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    compiled = openvino.Core().compile_model(str(Path(folder) / "model.onnx"), "CPU", options)
    found = compiled.create_infer_request().infer({"image": IMAGES})
    return found["mask"].copy(), found["confidence"].copy()


def raw_logits(net: onnx.ModelProto, pixels: np.ndarray) -> np.ndarray:
    """Run the net without anything around it, in another runtime."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        net.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(["logits"], {"pixels": pixels})[0]


@pytest.mark.parametrize(
    ("options", "scale"),
    [
        ({"planes": 3, "side": 256}, "127.5,50"),
        ({"planes": 2, "side": 256}, "0,255"),
        ({"planes": 3, "side": 256, "channels": 3}, "120,110,100,60,55,50"),
        ({"planes": 3, "side": 256, "dtype": np.float16}, "127.5,64"),
        ({"planes": 3, "side": 256, "channels": 3, "dtype": np.uint8}, "0,255"),
        ({"planes": 3, "side": 128}, "127.5,50"),
        ({"planes": 2, "side": 128}, "127.5,50"),
    ],
    ids=["background", "independent", "colour", "half", "bytes", "smaller", "smaller-independent"],
)
def test_the_served_file_is_the_net_with_its_meaning(add: Any, options: Any, scale: str) -> None:
    net = transformer(**options)
    code, told, complaint = add(net, "--scale", scale, "--threshold", str(THRESHOLD))
    assert (code, complaint) == (0, "")
    mean, std = np.split(np.array(scale.split(","), np.float32), 2)
    side, dtype = options["side"], options.get("dtype", np.float32)
    small = IMAGES.reshape(3, 1, side, 256 // side, side, 256 // side).mean(axis=(3, 5))
    pixels = (small - mean.reshape(1, -1, 1, 1)) / std.reshape(1, -1, 1, 1)
    if dtype == np.uint8:
        pixels = np.repeat(small, options["channels"], axis=1)
    logits = raw_logits(net, pixels.astype(dtype))
    logits = resize(logits, (*logits.shape[:2], 256, 256), order=1, mode="edge")
    mask, confidence = expected(logits, THRESHOLD)
    got_mask, got_confidence = served(told["folder"])
    assert set(np.unique(mask)) == {0, 1, 2}  # else the comparison would show little
    assert np.mean(got_mask == mask) > 0.9995
    np.testing.assert_allclose(got_confidence, confidence, atol=2e-3)
    assert (
        told["digest"]
        == hashlib.sha256((Path(told["folder"]) / "model.onnx").read_bytes()).hexdigest()
    )


def test_a_single_plane_is_one_label(add: Any) -> None:
    net = transformer(1, side=256)
    code, told, _ = add(net, "--labels", "organ", "--threshold", "0.6")
    assert code == 0
    chances = 1 / (1 + np.exp(-raw_logits(net, IMAGES.astype(np.float32) / 255)))
    mask, confidence = served(told["folder"])
    assert 0.05 < mask.mean() < 0.95
    assert np.mean(mask == (chances[:, 0] >= 0.6)) > 0.9995
    assert confidence.shape == (3, 1)
    assert (confidence > 0.6).all()


def test_probabilities_are_taken_as_such(add: Any) -> None:
    net = transformer(2, side=256)
    net.graph.node.append(helper.make_node("Sigmoid", ["logits"], ["chances"]))
    del net.graph.output[:]
    net.graph.output.append(
        helper.make_tensor_value_info("chances", TensorProto.FLOAT, ["batch", 2, 256, 256])
    )
    _, as_chances, _ = add(net, "--probabilities", "--threshold", "0.6", name="chances")
    _, as_logits, _ = add(transformer(2, side=256), "--threshold", "0.6", name="logits")
    for one, other in zip(served(as_chances["folder"]), served(as_logits["folder"]), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_the_configuration_is_the_projects_own_for_these_labels(add: Any, tmp_path: Path) -> None:
    code, told, _ = add(transformer(3), "--max-batch", "4")
    assert (code, told["version"]) == (0, "1")
    config = text_format.Parse(
        (tmp_path / "models" / "liver" / "config.pbtxt").read_text(), ModelConfig()
    )
    ours = text_format.Parse((MODELS / "unet-lv" / "config.pbtxt").read_text(), ModelConfig())
    assert (config.name, config.max_batch_size) == ("liver", 4)
    assert config.parameters["labels"].string_value == "liver,tumour"
    assert "trained_range" not in config.parameters
    assert {one.name: list(one.dims) for one in config.output}["confidence"] == [2]
    assert [one.batch_size for one in config.model_warmup if one.batch_size > 4] == []
    assert config.backend == ours.backend
    assert config.dynamic_batching == ours.dynamic_batching


def test_the_route_that_is_printed_can_be_used(add: Any, tmp_path: Path) -> None:
    _, told, _ = add(transformer(3), "--chain", "enhance", "--modality", "MR")
    (tmp_path / "routes.toml").write_text(told["route"])
    routes = Routes.load(tmp_path / "routes.toml")
    assert (routes.models, routes.keywords) == ({"liver"}, {"Modality"})


def test_the_next_file_is_the_next_version(add: Any, tmp_path: Path) -> None:
    add(transformer(3))
    code, told, _ = add(transformer(3, seed=1))
    assert (code, told["version"]) == (0, "2")
    code, _, complaint = add(transformer(1), "--labels", "kidney")
    assert code == 2
    assert "labels liver,tumour" in complaint
    assert sorted(one.name for one in (tmp_path / "models" / "liver").iterdir()) == [
        *("1", "2"),
        "config.pbtxt",
    ]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("dims: 256", "dims: 512", ()),
        ('backend: "scanstream_openvino"', 'backend: "tensorrt"', ()),
        ("max_batch_size: 16", "max_batch_size: 16", ("--max-batch", "4")),
    ],
    ids=["size", "backend", "batch"],
)
def test_a_version_that_its_configuration_would_not_load_is_refused(
    add: Any, tmp_path: Path, old: str, new: str, words: tuple[str, ...]
) -> None:
    """One configuration serves all versions, and Triton does not start with one that fails."""
    add(transformer(3))
    config = tmp_path / "models" / "liver" / "config.pbtxt"
    assert old in config.read_text()
    config.write_text(config.read_text().replace(old, new))
    code, _, complaint = add(transformer(3, seed=1), *words)
    assert (code, "choose another --name" in complaint) == (2, True), complaint
    assert not (config.parent / "2").exists()


def test_a_file_that_keeps_the_contract_is_taken_as_it_is(add: Any) -> None:
    newest = max(MODELS.glob("unet-lv/*/model.onnx"), key=lambda path: int(path.parent.name))
    code, told, _ = add(newest, "--labels", "cavity")
    assert (code, told["wrapped"]) == (0, False)
    assert told["digest"] == hashlib.sha256(newest.read_bytes()).hexdigest()


def over_the_batch() -> onnx.ModelProto:
    """Return a net that normalises over its batch, as one does while it is trained."""
    net = transformer(3, side=256)
    net.graph.node[-1].output[0] = "loud"
    axes = helper.make_tensor("axes", TensorProto.INT64, [1], [0])
    net.graph.initializer.append(axes)
    net.graph.node.append(helper.make_node("ReduceSum", ["loud", "axes"], ["sum"], keepdims=1))
    net.graph.node.append(helper.make_node("Sub", ["loud", "sum"], ["logits"]))
    return net


def argmaxed() -> onnx.ModelProto:
    net = transformer(3)
    net.graph.node.append(helper.make_node("ArgMax", ["logits"], ["found"], axis=1, keepdims=0))
    del net.graph.output[:]
    net.graph.output.append(
        helper.make_tensor_value_info("found", TensorProto.INT64, ["batch", 128, 128])
    )
    return net


def two_outputs() -> onnx.ModelProto:
    net = transformer(3)
    net.graph.output.append(
        helper.make_tensor_value_info("gridded", TensorProto.FLOAT, ["batch", 16, 16, 16])
    )
    return net


def relu(*shape: Any, opset: int = 17) -> onnx.ModelProto:
    """Return a net that gives what it takes, where it is positive."""
    node = helper.make_node("Relu", ["x"], ["y"])
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in "xy")
    graph = helper.make_graph([node], "relu", [x], [y])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=7)


def ready(
    *,
    side: int = 256,
    batch: int | str = "N",
    kind: int = TensorProto.UINT8,
    divisor: int = 100,
    sure: float = 0.5,
    by_mean: bool = False,
) -> onnx.ModelProto:
    """Return a net in the contract's form: the mask is brightness by `divisor`, one label.

    `by_mean` divides 0 by the picture's mean: of a black one the confidence is no number.
    """
    node = helper.make_node
    nodes = [
        node("Squeeze", ["image", "one"], ["grey"]),
        node("Div", ["grey", "divisor"], ["level"]),
        node("Cast", ["level"], ["mask"], to=kind),
        node("Cast", ["image"], ["floats"], to=TensorProto.FLOAT),
        node("ReduceMean", ["floats"], ["mean"], axes=[2, 3], keepdims=0),
        node("Mul", ["mean", "nothing"], ["zero"]),
        node("Div", ["zero", "mean" if by_mean else "sure"], ["still zero"]),
        node("Add", ["still zero", "sure"], ["confidence"]),
    ]
    constants = [
        helper.make_tensor("one", TensorProto.INT64, [1], [1]),
        helper.make_tensor("divisor", TensorProto.UINT8, [], [divisor]),
        helper.make_tensor("nothing", TensorProto.FLOAT, [], [0.0]),
        helper.make_tensor("sure", TensorProto.FLOAT, [], [sure]),
    ]
    value = helper.make_tensor_value_info
    image = value("image", TensorProto.UINT8, [batch, 1, side, side])
    outputs = [
        value("mask", kind, [batch, side, side]),
        value("confidence", TensorProto.FLOAT, [batch, 1]),
    ]
    graph = helper.make_graph(nodes, "ready", [image], outputs, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)


def test_a_net_in_the_contracts_form_passes(add: Any) -> None:
    assert add(ready(divisor=200), "--labels", "bright")[0] == 0


@pytest.mark.parametrize(
    ("net", "labels", "complaint"),
    [
        (ready(side=128), "bright", "chains draw pictures of 256 x 256; give the network with"),
        (ready(batch=1), "bright", "export it with a dynamic first axis"),
        (ready(kind=TensorProto.INT64), "bright", "output `mask` is int64"),
        (ready(divisor=200), "bright,dark", "not float32 [N, 2], one for each of --labels"),
        (ready(divisor=50), "bright", "`mask` holds 5, and --labels has 1 names"),
        (ready(divisor=200, sure=1.5), "bright", "`confidence` is not within [0, 1]"),
        (ready(divisor=200, sure=float("nan")), "bright", "`confidence` is not within [0, 1]"),
        (ready(divisor=200, by_mean=True), "bright", "`confidence` of a black picture is not"),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else None,
)
def test_a_net_that_only_seems_to_keep_the_contract_is_refused(
    add: Any, tmp_path: Path, net: onnx.ModelProto, labels: str, complaint: str
) -> None:
    code, _, told = add(net, "--labels", labels)
    assert (code, complaint in told) == (1, True), told
    assert not list(tmp_path.glob("models/*"))


@pytest.mark.parametrize(
    ("net", "words", "code", "complaint"),
    [
        (transformer(3, batch=1), (), 1, "its batch is fixed; export it with a dynamic first"),
        (transformer(3, batch=4), (), 1, "its batch is fixed"),
        (transformer(3, dtype=np.int32), (), 1, "input `pixels` is int32"),
        (relu("N", 64, 64), (), 1, "not [N, channels, rows, columns]"),
        (relu("N", 128, 128, 1), (), 1, "the second axis, its channels, must be 1 or 3"),
        (relu("N", 1, 128, 256), (), 1, "would distort"),
        (transformer(3), ("--labels", "liver"), 1, "3 planes and --labels 1 names"),
        (relu("N", 1, 64, 64, opset=11), (), 1, "operator set 11 is too old"),
        (argmaxed(), (), 1, "export the logits before any argmax"),
        (two_outputs(), (), 2, "outputs logits, gridded: name one with --output"),
        (two_outputs(), ("--output", "mask"), 2, "outputs are logits, gridded"),
        (over_the_batch(), (), 1, "export the network in evaluation mode"),
        (transformer(3), ("--labels", "liver,liver"), 2, "name each label once"),
        (transformer(3), ("--labels", ",".join(map(str, range(256)))), 2, "a uint8 mask holds 255"),
        (transformer(3), ("--scale", "1"), 2, "such as 127.5,127.5"),
        (transformer(3), ("--scale", "1,0"), 2, "no deviation 0"),
        (transformer(3), ("--scale", "1,2,3,1,2,3"), 2, "3 means"),
        (transformer(3), ("--threshold", "1.5"), 2, "between 0 and 1"),
        (transformer(3), ("--chain", "brain"), 2, "no chain brain"),
        (transformer(3), ("--probabilities",), 1, "leave it out where these are logits"),
        (Path("nowhere.onnx"), (), 2, "there is no file nowhere.onnx"),
        (Path(__file__), (), 1, "no valid ONNX model"),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else None,
)
def test_what_cannot_be_served_is_refused_and_leaves_nothing(
    add: Any, tmp_path: Path, net: Any, words: tuple[str, ...], code: int, complaint: str
) -> None:
    got, _, told = add(net, *words)
    assert (got, complaint in told) == (code, True), told
    assert told.startswith("scanstream model: ")
    assert told.count("\n") == 1
    assert not list(tmp_path.glob("models/*"))


def not_a_number() -> onnx.ModelProto:
    """Return a net whose logits are all NaN."""
    net = relu("N", 1, 256, 256)
    net.graph.node[0].output[0] = "seen"
    net.graph.node.append(helper.make_node("Sub", ["seen", "much"], ["below"]))
    net.graph.node.append(helper.make_node("Log", ["below"], ["y"]))
    net.graph.initializer.append(helper.make_tensor("much", TensorProto.FLOAT, [], [1000.0]))
    return net


def test_a_net_that_gives_no_numbers_is_refused(add: Any) -> None:
    """It is not confident, and finds nothing."""
    code, _, complaint = add(not_a_number(), "--labels", "organ")
    assert (code, "values that are no numbers" in complaint) == (1, True), complaint


def test_a_name_that_leaves_the_repository_is_refused(add: Any) -> None:
    code, _, complaint = add(transformer(3), name="../elsewhere")
    assert code == 2
    assert "letters, digits" in complaint


def test_without_onnx_it_says_what_to_install(add: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "onnx" else found(name)
    )
    code, _, complaint = add(transformer(3))
    assert code == 2
    assert "pip install 'scanstream[build]'" in complaint


@pytest.mark.parametrize(("most", "warned"), [("4", True), ("8", False)])
def test_a_batch_that_workers_exceed_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], most: str, warned: bool
) -> None:
    onnx.save(transformer(3), tmp_path / "organ.onnx")
    words = ["--name", "liver", "--labels", "liver,tumour", "--max-batch", most]
    words += ["--repository", str(tmp_path / "models")]
    assert main(["model", "add", str(tmp_path / "organ.onnx"), *words]) == 0
    assert ("setting `max_batch` is at most 4" in capsys.readouterr().out) == warned
