"""Put casting, scaling, resizing and the threshold into a network that has none of them.

What a worker sends is a picture, uint8 [N, 1, 256, 256], and what it wants is a label map and a
confidence for each label. A network that takes floats and gives logits gets both put around it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike, NDArray
from onnx import TensorProto, compose, helper, numpy_helper

SIDE = 256  # of the pictures that every chain draws
INSIDE = "net/"  # in front of the network's own names, so that none is one of ours
GIVEN = "given"  # what the network gives, float32 [N, planes, rows, columns]; no output
CHANCES = "chances"  # the planes' probabilities, float32 [N, planes, 256, 256]; no output


@dataclass(frozen=True, kw_only=True)
class Shapes:
    """What goes into the network and comes out of it, as it stands in its file.

    `input_side` is None where any size is taken; `output_side` is what comes of it, None where that
    is not known. `planes` counts the output's channels.
    """

    input_name: str
    input_type: int  # of onnx.TensorProto
    channels: int
    input_side: int | None
    output_name: str
    output_side: int | None
    planes: int


@dataclass(frozen=True, kw_only=True)
class Meaning:
    """What the user knows of the network, and its file does not say.

    A pixel, 0 to 255, goes in as (pixel - mean) / std; `mean` and `std` have one number, or one a
    channel. With as many planes as `labels` each is a label of its own: of those whose probability
    is at least `threshold` the most probable is taken. With one more the first is background, and
    the most probable plane is taken. `probabilities` tells these from logits.
    """

    labels: tuple[str, ...]
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (255.0,)
    threshold: float = 0.5
    probabilities: bool = False

    @property
    def scale(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """`mean` and `std`."""
        return self.mean, self.std


@dataclass
class _Graph:
    """Nodes and constants in the making. Each method appends one node and returns its output."""

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)

    def add(self, kind: str, *inputs: str, name: str = "", **attributes: Any) -> str:
        """Append a node of one output, called `name` where it has to be."""
        name = name or f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    def top(self, value: str) -> tuple[str, str]:
        """Return the highest plane's value and its index, both [N, 1, rows, columns]."""
        outputs = [f"top_{len(self.nodes)}", f"top_index_{len(self.nodes)}"]
        one = self.constant([1], np.int64)
        self.nodes.append(helper.make_node("TopK", [value, one], outputs, name=outputs[0], axis=1))
        return outputs[0], outputs[1]

    def constant(self, values: ArrayLike, kind: type[Any]) -> str:
        """Add a constant."""
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values, kind), name))
        return name

    def sliced(self, value: str, start: int, stop: int, axis: int) -> str:
        """Return `value[start:stop]` along the axis."""
        bounds = [self.constant([number], np.int64) for number in (start, stop, axis)]
        return self.add("Slice", value, *bounds)

    def resized(self, value: str, side: int) -> str:
        """Resample [N, C, rows, columns] to squares of `side`, linearly, by pixel centres."""
        kept = self.sliced(self.add("Shape", value), 0, 2, 0)
        sizes = self.add("Concat", kept, self.constant([side, side], np.int64), axis=0)
        return self.add("Resize", value, "", "", sizes, mode="linear")  # half_pixel is its default


def wrapped(net: onnx.ModelProto, shapes: Shapes, meaning: Meaning) -> onnx.ModelProto:
    """Return `net` as the contract wants it, with a dynamic batch N.

    Input `image` uint8 [N, 1, 256, 256]; outputs `mask` uint8 [N, 256, 256], 0 for background and
    from 1 the labels, and `confidence` float32 [N, labels]: the mean probability over a label's
    pixels, 0 where it has none. The operator set must be 13 or later.
    """
    inner = compose.add_prefix(net, INSIDE)
    ours = _Graph()
    _feed(ours, shapes, meaning)
    fed = len(ours.nodes)
    _label(ours, shapes, meaning)
    graph = inner.graph
    nodes = [*ours.nodes[:fed], *graph.node, *ours.nodes[fed:]]
    for part in (graph.node, graph.input, graph.output):
        del part[:]
    graph.node.extend(nodes)
    graph.initializer.extend(ours.constants)
    graph.input.append(_value("image", TensorProto.UINT8, ["N", 1, SIDE, SIDE]))
    graph.output.append(_value("mask", TensorProto.UINT8, ["N", SIDE, SIDE]))
    graph.output.append(_value("confidence", TensorProto.FLOAT, ["N", len(meaning.labels)]))
    return inner


def _value(name: str, kind: int, shape: list[Any]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def _feed(graph: _Graph, shapes: Shapes, meaning: Meaning) -> None:
    """From `image` to what the network takes. Scales of several channels make them out of one."""
    value = graph.add("Cast", "image", to=TensorProto.FLOAT)
    if shapes.input_side not in (None, SIDE):
        value = graph.resized(value, shapes.input_side or SIDE)
    if shapes.input_type == TensorProto.UINT8:
        value = graph.add("Concat", *[graph.add("Round", value)] * shapes.channels, axis=1)
    else:
        mean, std = (graph.constant(_by_channel(one, shapes), np.float32) for one in meaning.scale)
        value = graph.add("Div", graph.add("Sub", value, mean), std)
    graph.add("Cast", value, name=INSIDE + shapes.input_name, to=shapes.input_type)


def _by_channel(numbers: tuple[float, ...], shapes: Shapes) -> NDArray[np.float32]:
    """Return float32 [1, channels, 1, 1]."""
    return np.broadcast_to(np.array(numbers, np.float32), (shapes.channels,)).reshape(1, -1, 1, 1)


def _label(graph: _Graph, shapes: Shapes, meaning: Meaning) -> None:
    """From what the network gives to `mask` and `confidence`."""
    value = graph.add("Cast", INSIDE + shapes.output_name, name=GIVEN, to=TensorProto.FLOAT)
    if shapes.output_side != SIDE:
        value = graph.resized(value, SIDE)
    labels = len(meaning.labels)
    exclusive = shapes.planes == labels + 1
    if not meaning.probabilities:
        value = graph.add("Softmax", value, axis=1) if exclusive else graph.add("Sigmoid", value)
    value = graph.add("Identity", value, name=CHANCES)
    single = (value, graph.constant(0, np.int64))  # nothing to choose from, and TopK is slow
    highest, index = graph.top(value) if shapes.planes > 1 else single
    if exclusive:
        label, chances = index, graph.sliced(value, 1, labels + 1, 1)
    else:
        sure = graph.add("GreaterOrEqual", highest, graph.constant(meaning.threshold, np.float32))
        above = graph.add("Add", index, graph.constant(1, np.int64))
        label = graph.add("Where", sure, above, graph.constant(0, np.int64))
        chances = value
    axis = graph.constant([1], np.int64)
    graph.add("Cast", graph.add("Squeeze", label, axis), name="mask", to=TensorProto.UINT8)
    _confide(graph, label, chances, labels)


def _confide(graph: _Graph, label: str, chances: str, labels: int) -> None:
    """From the label map [N, 1, rows, columns] and the labels' probabilities to `confidence`."""
    numbers = np.arange(1, labels + 1).reshape(1, labels, 1, 1)
    same = graph.add("Equal", label, graph.constant(numbers, np.int64))
    inside = graph.add("Cast", same, to=TensorProto.FLOAT)
    grid = graph.constant([2, 3], np.int64)
    one = graph.constant(1, np.float32)
    pixels = graph.add("ReduceSum", inside, grid, keepdims=0)
    total = graph.add("ReduceSum", graph.add("Mul", chances, inside), grid, keepdims=0)
    mean = graph.add("Div", total, graph.add("Max", pixels, one))
    # Sums of 65,536 floats round, past 1 too. Min would make 1 of NaN: nothing, found for sure.
    graph.add("Where", graph.add("Greater", mean, one), one, mean, name="confidence")
