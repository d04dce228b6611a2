"""Make an entry of a model repository out of a foreign ONNX file, and try it before it is kept."""

from __future__ import annotations

import hashlib
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf import text_format
from onnx import helper
from tritonclient.grpc.model_config_pb2 import DataType, ModelConfig

from engine.builds import network
from engine.builds.trial import check_numbers, check_probabilities, pictures, try_out
from engine.builds.wrap import Meaning, wrapped
from engine.enhance import CHAINS
from engine.errors import BuildRefused, ConfigError
from engine.local.stack import MODELS

TEMPLATE = MODELS / "unet-lv" / "config.pbtxt"  # an added model is served as ours is
MAX_LABELS = 255  # a label map is uint8, and 0 is background
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What is to be added, and where to. `output` may be empty; `max_batch` 0 is the template's."""

    source: Path
    name: str
    meaning: Meaning
    repository: Path
    chain: str
    output: str = ""
    max_batch: int = 0


@dataclass(frozen=True, kw_only=True)
class Added:
    """A version that a server can load. `digest` is the SHA-256 of its model.onnx."""

    folder: Path
    version: str
    digest: str
    wrapped: bool


def add(wish: Wish) -> Added:
    """Write the model's next version, and its configuration where the model is new.

    The file must keep the contract (`image` uint8 [N, 1, 256, 256] to `mask` uint8 [N, 256, 256]
    and `confidence` float32 [N, labels]), or be a network that `network.shapes_of` takes: that one
    is wrapped. It is run by OpenVINO on pictures of the chain first. Raises `ConfigError` for a
    wrong wish and `BuildRefused` for a model that cannot be served; then nothing is written.
    """
    _check(wish)
    net = network.load(wish.source)
    fits = network.keeps_contract(net)
    data = _contents(wish, net) if fits else _wrapped(wish, net)
    entry = wish.repository / wish.name
    config = _configuration(wish, entry / "config.pbtxt")
    try_out(data, wish.meaning.labels, pictures(wish.chain))
    version = _write(entry, config, data)
    digest = hashlib.sha256(data).hexdigest()
    return Added(folder=entry / version, version=version, digest=digest, wrapped=not fits)


def _check(wish: Wish) -> None:
    labels = wish.meaning.labels
    if not NAME.fullmatch(wish.name):
        raise ConfigError(f"--name {wish.name}: letters, digits, dot, hyphen and underscore only")
    if not labels or len(set(labels)) != len(labels):
        raise ConfigError("--labels must name each label once")
    if len(labels) > MAX_LABELS:
        raise ConfigError(f"--labels has {len(labels)} names; a uint8 mask holds {MAX_LABELS}")
    if wish.chain not in CHAINS:
        raise ConfigError(f"no chain {wish.chain}; these exist: {', '.join(CHAINS)}")
    if not 0 < wish.meaning.threshold < 1:
        raise ConfigError("--threshold must be between 0 and 1")
    if wish.max_batch < 0:
        raise ConfigError("--max-batch must be at least 1")
    if not all(np.isfinite([*wish.meaning.mean, *wish.meaning.std])) or 0 in wish.meaning.std:
        raise ConfigError("--scale must be finite numbers, and no deviation 0")


def _contents(wish: Wish, net: onnx.ModelProto) -> bytes:
    """Return the file as it is, or in one piece where its weights lie beside it."""
    if any(path.name != wish.source.name for path in _beside(wish.source, net)):
        return bytes(net.SerializeToString(deterministic=True))
    return wish.source.read_bytes()


def _beside(source: Path, net: onnx.ModelProto) -> list[Path]:
    stored = onnx.load(source, load_external_data=False).graph.initializer
    return [
        source.with_name(pair.value)
        for tensor in stored
        for pair in tensor.external_data
        if pair.key == "location"
    ]


def _wrapped(wish: Wish, net: onnx.ModelProto) -> bytes:
    shapes = network.shapes_of(net, wish.source, wish.output, wish.meaning)
    model = wrapped(net, shapes, wish.meaning)
    meaning = wish.meaning
    helper.set_model_props(
        model,
        {
            "source_sha256": hashlib.sha256(wish.source.read_bytes()).hexdigest(),
            "labels": ",".join(meaning.labels),
            "scale": ",".join(f"{one:g}" for one in (*meaning.mean, *meaning.std)),
            "threshold": f"{meaning.threshold:g}",
        },
    )
    try:
        onnx.checker.check_model(model, full_check=True)
    except Exception as error:  # onnx's errors have no common base
        raise BuildRefused(f"ONNX refuses the wrapped network: {network.line(error)}") from error
    check_numbers(model, pictures(wish.chain))
    if meaning.probabilities:
        check_probabilities(model, pictures(wish.chain))
    return bytes(model.SerializeToString(deterministic=True))


def _configuration(wish: Wish, there: Path) -> str | None:
    """Return the text of a new config.pbtxt; None where there is one that fits this version."""
    new = _from_template(wish)
    if there.exists():
        old = text_format.Parse(there.read_text(), ModelConfig())
        _check_same(old, new, wish)
        return None
    if there.parent.exists():
        raise ConfigError(f"{there.parent} is there, and is no model: it has no config.pbtxt")
    return f"# Written by `scanstream model add`.\n{text_format.MessageToString(new)}"


def _check_same(old: Any, new: Any, wish: Wish) -> None:
    """One configuration serves all versions: one that it does not fit would not be loaded."""
    pairs = {
        "labels": [one.parameters["labels"].string_value for one in (old, new)],
        "backend": [old.backend, new.backend],
        "tensors": [_tensors(old), _tensors(new)],
        "max_batch_size": [old.max_batch_size, wish.max_batch or old.max_batch_size],
    }
    for what, (is_there, wanted) in pairs.items():
        if is_there != wanted:
            raise ConfigError(
                f"{wish.name} is there with {what} {is_there}: another version must have the same,"
                f" not {wanted}; choose another --name"
            )


def _tensors(config: Any) -> str:
    ports = [one for one in (*config.input, *config.output) if one.name != "about"]
    told = [f"{one.name} {DataType.Name(one.data_type)} {list(one.dims)}" for one in ports]
    return ", ".join(sorted(told))


def _from_template(wish: Wish) -> Any:
    """Return the configuration of the project's own model, made over for this one."""
    config = text_format.Parse(TEMPLATE.read_text(), ModelConfig())
    config.name = wish.name
    config.max_batch_size = wish.max_batch or config.max_batch_size
    for output in config.output:
        if output.name == "confidence":
            output.dims[:] = [len(wish.meaning.labels)]
    warmed = [one for one in config.model_warmup if one.batch_size <= config.max_batch_size]
    config.model_warmup.clear()
    config.model_warmup.extend(warmed)
    config.parameters["labels"].string_value = ",".join(wish.meaning.labels)
    config.parameters.pop("trained_range", None)  # the template's pictures, not this model's
    return config


def _write(entry: Path, config: str | None, data: bytes) -> str:
    """Write the version beside, then rename it: a server never reads half an entry."""
    entry.parent.mkdir(parents=True, exist_ok=True)
    taken = [int(one.name) for one in entry.glob("*") if one.name.isdigit()]
    version = str(max(taken, default=0) + 1)
    with tempfile.TemporaryDirectory(prefix=".", dir=entry.parent) as folder:
        made = Path(folder) / "entry" / version
        made.mkdir(parents=True)
        (made / "model.onnx").write_bytes(data)
        if config is None:
            made.rename(entry / version)
        else:
            (made.parent / "config.pbtxt").write_text(config)
            made.parent.rename(entry)
    return version
