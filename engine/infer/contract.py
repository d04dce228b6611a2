"""What a served model must look like, read from what Triton says of it."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from engine.errors import ConfigError, ModelUnavailable
from engine.novelty import Range

UNKNOWN = "unknown"


class Contract(NamedTuple):
    """A model that takes `image` uint8 [N, 1, rows, columns] and gives `mask` uint8 [N, rows,
    columns] and `confidence` float32 [N, labels]; `about` uint8 [N, 256] is optional.

    `instances` compute side by side. `priority_levels` are 0 where its queue has none;
    `queue_timeout` is true where a request may bound its own time in the queue. `said` are its
    configuration's parameters, which `told` reads for models without `about`. `trained_range` is
    what its training pictures looked like, None where it does not say.
    """

    input_shape: tuple[int, int]
    labels: tuple[str, ...]
    max_batch: int
    has_about: bool
    queue_timeout: bool
    priority_levels: int
    instances: int
    said: Mapping[str, str]
    trained_range: Range | None

    def told(self, name: str, version: str) -> str:
        """Return the parameter `NAME:VERSION` of the configuration, else `NAME`, else unknown."""
        return self.said.get(f"{name}:{version}") or self.said.get(name, UNKNOWN)


def read_contract(metadata: Any, config: Any) -> Contract:
    """Read Triton's ModelMetadata and ModelConfig; raise `ModelUnavailable` naming what is wrong.

    `labels` is a parameter of the model's configuration, separated by commas; `digest` and
    `precision` may be, for models without `about` (`digest:2` is that of version 2: one
    configuration serves all versions); `trained_range` may be (`Range.parse`).
    """
    inputs = {one.name: (one.datatype, tuple(one.shape)) for one in metadata.inputs}
    outputs = {one.name: (one.datatype, tuple(one.shape)) for one in metadata.outputs}
    parameters = {name: given.string_value for name, given in config.parameters.items()}
    labels = tuple(part.strip() for part in parameters.get("labels", "").split(",") if part.strip())
    datatype, shape = inputs.get("image", ("", ()))
    if datatype != "UINT8" or len(shape) != 4 or shape[1] != 1:
        raise ModelUnavailable(
            _broken(metadata, "input `image` is not UINT8 [N, 1, rows, columns]")
        )
    grid = (int(shape[2]), int(shape[3]))
    if outputs.get("mask") != ("UINT8", (-1, *grid)):
        raise ModelUnavailable(_broken(metadata, "output `mask` is not UINT8 [N, rows, columns]"))
    if outputs.get("confidence") != ("FP32", (-1, len(labels))) or not labels:
        raise ModelUnavailable(
            _broken(metadata, "output `confidence` is not FP32 [N, number of parameter `labels`]")
        )
    return Contract(
        input_shape=grid,
        labels=labels,
        max_batch=int(config.max_batch_size),
        has_about="about" in outputs,
        queue_timeout=_takes_timeouts(config.dynamic_batching.default_queue_policy),
        priority_levels=int(config.dynamic_batching.priority_levels),
        instances=_instances(config.instance_group),
        said=parameters,
        trained_range=_trained_range(metadata, parameters.get("trained_range")),
    )


@functools.lru_cache(maxsize=64)
def read_about(row: bytes) -> Mapping[str, str]:
    """Return the JSON object of one row of `about`, empty where it is none.

    Kept, since every answer of one version has the same.
    """
    try:
        found = json.loads(row.decode().strip())
    except ValueError:
        return {}
    return {str(name): str(text) for name, text in found.items()} if isinstance(found, dict) else {}


def _takes_timeouts(policy: Any) -> bool:
    """Triton (2.51 to 2.73) takes a request's timeout only where it is shorter than the default."""
    return bool(policy.allow_timeout_override and policy.default_timeout_microseconds)


def _instances(groups: Any) -> int:
    """Triton makes `count` instances on each GPU of a group, and says which GPUs these are."""
    return max(1, sum(int(one.count) * max(1, len(one.gpus)) for one in groups))


def _trained_range(metadata: Any, text: str | None) -> Range | None:
    """A range that cannot be read must not pass for none: nothing would ever be flagged."""
    try:
        return None if text is None else Range.parse(text)
    except ConfigError as error:
        raise ModelUnavailable(_broken(metadata, f"parameter `trained_range`: {error}")) from None


def _broken(metadata: Any, what: str) -> str:
    return f"Triton's model {metadata.name} does not keep the contract: {what}"
