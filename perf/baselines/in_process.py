"""The model that is served, run in this process by OpenVINO, as the project's backend runs it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import openvino

from engine.local.stack import MODELS
from perf.baselines.unet import Bytes, Run
from perf.rows.unet import FILES, HINTS

MODEL = "unet-lv"
BATCHES = (1, 2, 4, 8, 16)


def served() -> Path:
    """Return the folder of the version that Triton serves: the highest."""
    found = MODELS.glob(f"{MODEL}/*/model.onnx")
    return max(found, key=lambda path: int(path.parent.name)).parent


def served_file() -> tuple[Path, str]:
    """Return the file that the backend serves by default on this processor, and its precision."""
    if (served() / FILES["int8"]).is_file():
        return served() / FILES["int8"], "int8"
    able = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return served() / FILES["fp32"], "bf16" if "BF16" in able else "fp32"


def in_process(path: Path, precision: str, *, threads: int) -> Run:
    """Return what runs the file, one batch after the other, on `threads` threads."""
    request = compiled(path, precision, threads=threads, streams=1).create_infer_request()

    def run(images: Bytes) -> tuple[Bytes, Any]:
        found = request.infer({"image": images}, share_inputs=True, share_outputs=True)
        return found["mask"], found["confidence"]

    return run


def compiled(path: Path, precision: str, *, threads: int, streams: int) -> Any:
    """Return the file compiled by OpenVINO with explicit precision, threads and streams."""
    options = {
        "INFERENCE_PRECISION_HINT": HINTS[precision],
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": streams,
        "PERFORMANCE_HINT": "LATENCY" if streams == 1 else "THROUGHPUT",
    }
    return openvino.Core().compile_model(str(path), "CPU", options)
