"""The forms of a network: what int8, fp16 and bf16 do to the graph and to the masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from middle_slices import middle_slices
from PIL import Image
from tiny_transformer import transformer

from engine.builds import pictures, target_of
from engine.builds.calibrate import BINS, Histogram
from engine.cli.builds import newest
from engine.enhance import enhance_array
from engine.errors import BuildRefused, ConfigError
from engine.local.stack import MODELS
from engine.training.evaluate import dice

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

SOURCE = newest(MODELS / "unet-lv")


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    """Three phantom frames as the chain draws them."""
    return np.stack([enhance_array(one.pixels, "cine") for one in middle_slices(1)])[:, None]


@pytest.fixture(scope="module")
def truth(images: np.ndarray) -> np.ndarray:
    """What the committed file finds in them."""
    predict = target_of("onnx").predictor(SOURCE)
    assert predict is not None
    mask = predict(images)[0]
    assert mask.any()
    return mask


@pytest.fixture(scope="module")
def symmetric(images: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Q/DQ file for TensorRT."""
    return target_of("onnx").make(SOURCE, "int8", images, tmp_path_factory.mktemp("int8"))


@pytest.mark.parametrize(("precision", "least"), [("fp16", 0.999), ("bf16", 0.98), ("int8", 0.98)])
def test_the_masks_stay_and_so_does_the_contract(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    images: np.ndarray,
    truth: np.ndarray,
    precision: str,
    least: float,
) -> None:
    target = target_of("onnx")
    if precision == "int8":
        path = request.getfixturevalue("symmetric")
    else:
        path = target.make(SOURCE, precision, None, tmp_path)
    predict = target.predictor(path)
    assert predict is not None
    mask, confidence = predict(images)
    assert (mask.dtype, confidence.dtype) == (np.uint8, np.float32)
    assert confidence.shape == (len(images), 1)
    assert dice(mask, truth) >= least


def test_fp16_is_typed_up_to_the_last_convolution(tmp_path: Path) -> None:
    path = target_of("onnx").make(SOURCE, "fp16", None, tmp_path)
    kinds = types_of(onnx.load(path))
    nodes = onnx.load(path).graph.node
    half, single = onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT
    for node in nodes:
        if node.op_type in ("Conv", "ConvTranspose"):
            assert {kinds[name] for name in (*node.input, *node.output)} == {half}
        if node.op_type in ("Sigmoid", "ReduceSum", "GreaterOrEqual"):
            assert kinds[node.input[0]] == single


def types_of(model: onnx.ModelProto) -> dict[str, int]:
    graph = onnx.shape_inference.infer_shapes(model).graph
    values = (*graph.value_info, *graph.output, *graph.input)
    found = {value.name: value.type.tensor_type.elem_type for value in values}
    return found | {tensor.name: tensor.data_type for tensor in graph.initializer}


def test_what_tensorrt_gets_is_symmetric(symmetric: Path) -> None:
    """TensorRT takes only int8 with zero point 0, and weights with a scale for each channel."""
    model = onnx.load(symmetric)
    values = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    pairs = [n for n in model.graph.node if n.op_type in ("QuantizeLinear", "DequantizeLinear")]
    for node in pairs:
        assert values[node.input[2]].dtype == np.int8
        assert not values[node.input[2]].any()
    made = {name: node for node in model.graph.node for name in node.output}
    layers = [node for node in model.graph.node if node.op_type in ("Conv", "ConvTranspose")]
    assert len(layers) >= 10
    for node in layers:
        weights = made[node.input[1]]
        axis = next(one.i for one in weights.attribute if one.name == "axis")
        stored, scale = values[weights.input[0]], values[weights.input[1]]
        assert scale.shape == (stored.shape[axis],)
        assert stored.min() >= -127


def test_weights_for_processors_without_vnni_have_seven_bits() -> None:
    """Two products of a byte and a weight are added in 16 bits there: 2 * 255 * 63 fits."""
    from engine.builds import graph, quantise

    model = graph.read_model(SOURCE)
    layers = list(quantise.layers_of(model))
    found = dict.fromkeys(quantise.shared(layers), Histogram(np.ones(BINS, np.int64), 4.0, True))
    small = quantise.quantised(model, layers, found, quantise.UNSIGNED)
    stored = [onnx.numpy_helper.to_array(one) for one in small.graph.initializer]
    weights = [one for one in stored if one.dtype == np.int8 and one.ndim == 4]
    assert max(int(np.abs(one.astype(int)).max()) for one in weights) == 63
    assert 2 * 255 * 63 <= np.iinfo(np.int16).max < 2 * 255 * 127


def test_tensors_that_meet_in_a_concatenation_share_a_scale() -> None:
    from engine.builds import graph, quantise

    model = graph.read_model(SOURCE)
    groups = quantise.shared(list(quantise.layers_of(model)))
    of = {name: group for group in groups for name in group}
    meet = [node for node in model.graph.node if node.op_type == "Concat"]
    assert len(meet) >= 3
    for node in meet:
        assert len({of[name] for name in node.input}) == 1


def test_a_transformer_is_quantised_too(tmp_path: Path) -> None:
    """Another architecture: matrix products with constant weights, those of attention stay."""
    from engine.builds import graph, quantise

    onnx.save(transformer(1), tmp_path / "net.onnx")
    model = graph.read_model(tmp_path / "net.onnx")
    layers = list(quantise.layers_of(model))
    found = dict.fromkeys(quantise.shared(layers), Histogram(np.ones(BINS, np.int64), 4.0, True))
    small = quantise.quantised(model, layers, found, quantise.SYMMETRIC)
    graph.write_model(small, tmp_path / "int8.onnx")
    products = [node for node in small.graph.node if node.op_type == "MatMul"]
    exact = [node for node in products if not node.input[1].endswith("_dequantised")]
    assert len(exact) == 2
    assert len(products) > len(exact)


def test_a_network_without_weights_is_refused(images: np.ndarray) -> None:
    from engine.builds import quantise

    node = onnx.helper.make_node("Relu", ["image"], ["mask"])
    ports = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1])
        for name in ("image", "mask")
    ]
    empty = onnx.helper.make_model(onnx.helper.make_graph([node], "g", ports[:1], ports[1:]))
    with pytest.raises(BuildRefused, match="no layer with constant weights"):
        quantise.as_int8(empty, images, quantise.UNSIGNED)


def test_bf16_rounds_to_nearest_even() -> None:
    from engine.builds.typed import to_bf16

    step = 2.0**-7  # of bfloat16 between 1 and 2
    values = np.array([1, 1 + step / 2, 1 + 3 * step / 2, 1 + step / 2 + 1e-6, -1 - step / 2])
    want = np.array([1, 1, 1 + 2 * step, 1 + step, -1])
    np.testing.assert_array_equal(to_bf16(values.astype(np.float32)), want.astype(np.float32))


def test_a_few_large_values_are_clipped() -> None:
    counts = np.zeros(BINS, np.int64)
    counts[: BINS // 4] = 1_000_000
    counts[-1] = 1
    assert Histogram(counts, 8.0, False).clip(127) == pytest.approx(2.0, rel=0.1)
    assert Histogram(np.ones(BINS, np.int64), 8.0, False).clip(127) == pytest.approx(8.0, rel=0.02)


def test_calibration_and_check_are_of_different_hearts() -> None:
    found = pictures.material(None, (), ())
    assert len(found.calibration) == len(found.check) == 32
    known = {one.pixels.tobytes() for one in found.calibration}
    assert not known & {one.pixels.tobytes() for one in found.check}


def test_nothing_is_calibrated_on_what_is_checked(tmp_path: Path) -> None:
    for part in ("images", "labels"):
        (tmp_path / part).mkdir()
        for subject in ("SC-A", "SC-B", "SC-N-05"):
            black = Image.fromarray(np.zeros((8, 8), np.uint8))
            black.save(tmp_path / part / f"{subject}-IM-0001.png")
    found = pictures.material(tmp_path, ("SC-A",), ("SC-A", "SC-B", "SC-N-05"))
    assert found.as_json()["calibration"]["subjects"] == ["SC-B", "SC-N-05"]
    assert found.as_json()["check"] == {"subjects": ["SC-A"], "slices": 1, "trained_on": ["SC-A"]}
    unseen = pictures.material(tmp_path, ("SC-A",), ("SC-B",))
    assert unseen.as_json()["check"] == {"subjects": ["SC-A"], "slices": 1}
    with pytest.raises(ConfigError, match="no subject is left"):
        pictures.material(tmp_path, ("SC-A", "SC-B", "SC-N-05"), ())
