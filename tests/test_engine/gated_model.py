"""A model for the real Triton that computes a batch only when the test lets it.

The order in which a server works is asserted by what it worked on, not by a clock.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import numpy as np
from watching import until

SHAPE = (8, 8)
NAME = "gated"
CONFIG = """
name: "{name}"
backend: "python"
max_batch_size: {max_batch}
input [ {{ name: "image" data_type: TYPE_UINT8 dims: [ 1, 8, 8 ] }} ]
output [
  {{ name: "mask" data_type: TYPE_UINT8 dims: [ 8, 8 ] }},
  {{ name: "confidence" data_type: TYPE_FP32 dims: [ 1 ] }},
  {{ name: "about" data_type: TYPE_UINT8 dims: [ 128 ] }}
]
instance_group [ {{ kind: KIND_CPU count: {instances} }} ]
version_policy: {{ all {{ }} }}
parameters [
  {{ key: "labels" value: {{ string_value: "one" }} }},
  {{ key: "gate" value: {{ string_value: "{gate}" }} }}
]
{batching}
"""
QUEUES = """
dynamic_batching {
  priority_levels: 3
  default_priority_level: 3
  default_queue_policy {
    timeout_action: REJECT
    default_timeout_microseconds: 20000000
    allow_timeout_override: true
  }
}
"""
MODEL = '''
import json, os, time
import numpy as np
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    """The mask is the image. `gate/NUMBER` lets the batch of that number pass; blanks need none."""

    def initialize(self, args):
        config = json.loads(args["model_config"])
        self.gate = config["parameters"]["gate"]["string_value"]
        self.version = args["model_version"]
        about = json.dumps({"digest": self.version * 64, "precision": "fp32"}).encode()
        self.about = np.frombuffer(about.ljust(128), np.uint8)

    def execute(self, requests):
        images = [np.from_dlpack(pb_utils.get_input_tensor_by_name(r, "image")) for r in requests]
        if any(image.any() for image in images):
            self.pass_gate([[int(one[0, 0, 0]) for one in image] for image in images])
        return [self.answer(image[:, 0].copy()) for image in images]

    def pass_gate(self, batch):
        number = len([name for name in os.listdir(self.gate) if name.startswith("began")])
        with open(f"{self.gate}/.began", "w") as file:
            json.dump([self.version, batch], file)
        os.rename(f"{self.gate}/.began", f"{self.gate}/began-{number:04d}")
        while not os.path.exists(f"{self.gate}/pass-{number:04d}"):
            time.sleep(0.002)  # in Triton's process: no event of the test reaches it

    def answer(self, masks):
        count = len(masks)
        tensors = {
            "mask": masks,
            "confidence": np.full((count, 1), 0.5, np.float32),
            "about": np.tile(self.about, (count, 1)),
        }
        made = [pb_utils.Tensor.from_dlpack(name, values) for name, values in tensors.items()]
        return pb_utils.InferenceResponse(made)
'''


class Gate:
    """What the model began to compute, and what lets it go on. For one instance at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def began(self) -> list[tuple[str, list[list[int]]]]:
        """Return of each batch that was begun: the version, and each request's first pixels."""
        files = sorted(self.folder.glob("began-*"))
        return [tuple(json.loads(path.read_text())) for path in files]

    def pass_on(self, count: int = 1) -> None:
        """Let the next `count` batches pass."""
        there = len(list(self.folder.glob("pass-*")))
        for number in range(there, there + count):
            (self.folder / f"pass-{number:04d}").touch()

    async def until_begun(self, count: int, limit_s: float = 20.0) -> None:
        """Wait until `count` batches were begun."""
        await asyncio.to_thread(until, lambda: len(self.began()) >= count, limit_s)

    def clear(self) -> None:
        """Begin to count anew. Nothing may be in flight."""
        for path in self.folder.iterdir():
            path.unlink()


def write_gated(
    repository: Path,
    gate: Path,
    *,
    name: str = NAME,
    versions: tuple[str, ...] = ("1",),
    max_batch: int = 8,
    instances: int = 1,
    batching: str = "dynamic_batching { }",
) -> None:
    """Write the model into a repository."""
    for version in versions:
        folder = repository / name / version
        folder.mkdir(parents=True)
        (folder / "model.py").write_text(MODEL)
    text = CONFIG.format(
        name=name, gate=gate, max_batch=max_batch, instances=instances, batching=batching
    )
    (repository / name / "config.pbtxt").write_text(text)


def numbered(*numbers: int) -> list[np.ndarray]:
    """Return one picture for each number, which is in all of its pixels."""
    return [np.full(SHAPE, number, np.uint8) for number in numbers]
