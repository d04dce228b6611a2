"""`scanstream model list`: the models there are, what Triton has loaded, and what serves."""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgspec
from google.protobuf import text_format
from tritonclient.grpc import InferenceServerClient, model_config_pb2
from tritonclient.utils import InferenceServerException

from engine.config import Settings
from engine.control import read
from engine.errors import BrokerUnavailable, ConfigError, ModelUnavailable
from engine.local.stack import MODELS
from engine.serving import Serving

WEIGHTS = ("model.onnx", "model.plan", "model.pt")
QUANTISED = "model.int8.onnx"
ANSWER_LIMIT_S = 3.0
UNKNOWN = "unknown"
NOT_LOADED = "NOT LOADED"


@dataclass(slots=True)
class Model:
    """One version of a model in a repository. `size` is the weights' in bytes.

    `sha256` is of the weights file, `int8_sha256` of its int8 build, empty where there is none:
    results of an ONNX file carry that of the one that is served as `model.digest`. `state` is
    Triton's word (READY, LOADING, UNAVAILABLE ...), `NOT LOADED`, or `unknown` when no Triton
    answers.
    """

    repository: str
    name: str
    version: str
    backend: str
    size: int
    sha256: str
    int8_sha256: str
    labels: list[str]
    state: str = UNKNOWN


@dataclass(frozen=True, slots=True)
class Served:
    """One version of a model that Triton knows, in Triton's own words."""

    name: str
    version: str
    backend: str
    state: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the options of `list`."""
    add = parser.add_argument
    add("--repositories", type=Path, default=MODELS.parent, help="folder of model repositories")
    add("--triton", help="address (gRPC) of a Triton that must answer; else the setting is tried")
    add("--broker", help="address of a broker that must answer; else the setting is tried")
    add("--json", action="store_true", help="print one JSON object and nothing else")


def run(args: argparse.Namespace) -> int:
    """Print the models; raise where the Triton of `--triton` or `--broker` does not answer."""
    models = in_repositories(args.repositories)
    address = args.triton or Settings.load().triton
    try:
        known: list[Served] | None = ask(address)
    except ModelUnavailable:
        if args.triton:
            raise
        known = None
    if known is not None:
        mark(models, known)
    serving = _recorded(args.broker)
    if args.json:
        told = None if known is None else [asdict(one) for one in known]
        triton = {"address": address, "answers": known is not None, "models": told}
        listed = [asdict(one) for one in models]
        records = None if serving is None else msgspec.to_builtins(serving)
        print(json.dumps({"models": listed, "triton": triton, "serving": records}))
    else:
        _tell(models, address, answers=known is not None)
        _tell_serving(serving)
    return 0


def _recorded(broker: str | None) -> dict[str, Serving] | None:
    """Return what is recorded to serve, None where no broker says."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # we say it in one line
    try:
        return asyncio.run(read(Settings.load(broker=broker)))
    except BrokerUnavailable:
        if broker:
            raise
        return None


def in_repositories(folder: Path) -> list[Model]:
    """Return every version of every model below `folder/REPOSITORY/MODEL/VERSION`."""
    configs = sorted(folder.glob("*/*/config.pbtxt"))
    if not configs:
        raise ConfigError(f"no REPOSITORY/MODEL/config.pbtxt below {folder}: name another folder")
    return [model for path in configs for model in _versions(path)]


def ask(address: str) -> list[Served]:
    """Return what the Triton at `address` knows; raise `ModelUnavailable` when it is away."""
    try:
        client = InferenceServerClient(address, channel_args=[("grpc.enable_http_proxy", 0)])
        try:
            index = client.get_model_repository_index(client_timeout=ANSWER_LIMIT_S)
            return [_served(client, one) for one in index.models]
        finally:
            client.close()
    except InferenceServerException as error:
        raise ModelUnavailable(
            f"no Triton answers at {address} ({error.status() or 'no status'}):"
            " start one (`scanstream up`), or give another --triton"
        ) from error


def mark(models: list[Model], known: list[Served]) -> None:
    """Set each model's state to Triton's; the backend tells one name in two repositories apart."""
    states = {(one.name, one.version, one.backend): one.state for one in known}
    for model in models:
        model.state = states.get((model.name, model.version, model.backend), NOT_LOADED)


def _versions(path: Path) -> list[Model]:
    config = model_config_pb2.ModelConfig()
    try:
        text_format.Parse(path.read_text(), config)
    except text_format.ParseError as error:
        raise ConfigError(f"{path} is not a model's configuration: {error}") from None
    folder = path.parent
    numbers = [one.name for one in folder.iterdir() if one.is_dir() and one.name.isdigit()]
    return [_model(folder, config, number) for number in sorted(numbers, key=int)]


def _model(folder: Path, config: Any, version: str) -> Model:
    files = [folder / version / name for name in WEIGHTS]
    int8 = folder / version / QUANTISED
    weights = next((one.read_bytes() for one in files if one.exists()), b"")
    labels = config.parameters["labels"].string_value if "labels" in config.parameters else ""
    return Model(
        repository=folder.parent.name,
        name=config.name or folder.name,
        version=version,
        backend=config.backend or config.platform,
        size=len(weights),
        sha256=hashlib.sha256(weights).hexdigest() if weights else "",
        int8_sha256=hashlib.sha256(int8.read_bytes()).hexdigest() if int8.exists() else "",
        labels=[label.strip() for label in labels.split(",") if label.strip()],
    )


def _served(client: Any, one: Any) -> Served:
    if one.state != "READY":  # it has no configuration to ask for
        return Served(one.name, one.version, "", f"{one.state or 'UNKNOWN'} {one.reason}".strip())
    config = client.get_model_config(one.name, one.version, client_timeout=ANSWER_LIMIT_S).config
    return Served(one.name, one.version, config.backend or config.platform, one.state)


def _tell(models: list[Model], address: str, *, answers: bool) -> None:
    for one in models:
        print(
            f"{one.repository}/{one.name} version {one.version}, {one.backend}, "
            f"{one.size} bytes, in Triton: {one.state}"
        )
        print(f"  labels {', '.join(one.labels) or '-'}; sha256 {one.sha256 or 'no weights file'}")
        if one.int8_sha256:
            print(f"  in int8: sha256 {one.int8_sha256}")
    print(f"Triton at {address}: {'answers' if answers else 'does not answer'}")


def _tell_serving(serving: dict[str, Serving] | None) -> None:
    if serving is None:
        print("which versions serve: no broker says")
        return
    for name, one in serving.items():
        before = f", {one.previous.version} before" if one.previous else ""
        beside = f", {one.shadow.version} beside on {one.shadow.share:g}" if one.shadow else ""
        print(f"{name}: version {one.now.version} serves{before}{beside}; sha256 {one.now.digest}")
    if not serving:
        print("which versions serve: none is recorded, the highest that Triton has loaded")
