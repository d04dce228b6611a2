"""Row 4: the U-Net's frames a second, by precision, against ONNX Runtime in single precision.

Both sides run the same weights, in this process, each with the batch size that is its fastest. The
model is the newest version of `triton_models/cpu/unet-lv`, or the folder PERF_MODEL. Without data
the Dice are those of phantom frames; with PERF_DATA, a folder of labelled slices, those of the five
subjects that no training sees.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections import Counter
from collections.abc import Callable
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import openvino

from engine.local.stack import MODELS
from engine.training.data import HELD_OUT, Pictures, load_slices, phantom_pictures
from engine.training.evaluate import dice, evaluate
from perf.baselines.unet import Bytes, Floats, Run, onnx_runtime
from perf.compare.case import Case, Entry, Prepared

ONNX_RUNTIME = f"ONNX Runtime {version('onnxruntime')}, fp32, one thread, its best batch size"
BATCHES = (1, 2, 4, 8)
FRAMES = max(BATCHES)  # in one repetition
TRIES = 3
HEARTS, PER_HEART = 8, 4
DICE_LOST, AGREEMENT = 0.002, 0.98
FOUND = 0.8  # a model that finds nothing has nothing to lose
TARGETS = {"fp32": 0.0, "bf16": 5.0, "int8": 8.0}
FILES = {"fp32": "model.onnx", "bf16": "model.onnx", "int8": "model.int8.onnx"}
HINTS = {"fp32": "f32", "bf16": "bf16", "int8": "f32"}
CONVOLUTIONS = ("Convolution", "Deconvolution")

_BOUNDS = {
    "int8": (
        "without VNNI or AMX an int8 multiply-add takes three instructions (VPMADDUBSW, VPMADDWD, "
        "VPADDD) and a float one takes one (VFMADD): loops of nothing else reach 91 and 51 "
        "thousand million multiply-adds a second on a core of the AMD EPYC with AVX2, 1.8x; more "
        "than that is saved memory traffic; with VNNI it is 3.4x (docs/performance-method.md), 8x "
        "is for AMX: not measured"
    ),
}


def cases() -> list[Entry]:
    """Return the rows."""
    return [
        Case(
            name=f"unet/{precision}",
            rival=ONNX_RUNTIME,
            unit="frames/s",
            target=target,
            prepare=partial(_prepare, precision),
            bound=_BOUNDS.get(precision, ""),
            missing=partial(missing, precision),
        )
        for precision, target in TARGETS.items()
    ]


def missing(precision: str) -> str:
    """Say why this machine cannot measure the precision; "" where it can."""
    path = folder() / FILES[precision]
    if not path.is_file():
        return f"{path.name} is not built: `scanstream model build --precision {precision}`"
    if precision == "int8" and _of_others(path):
        return f"{path.name} was built from another {FILES['fp32']}: its Dice would not be int8's"
    able = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if precision == "bf16" and "BF16" not in able:
        return (
            "this processor does not compute in bf16 (OpenVINO lists "
            f"{', '.join(able)}): asked for it, OpenVINO silently computes in fp32"
        )
    return ""


def _of_others(path: Path) -> bool:
    """Whether the build's provenance, where it lies beside it, names another source."""
    record = path.with_suffix(".json")
    if not record.is_file():
        return False
    source = hashlib.sha256((folder() / FILES["fp32"]).read_bytes()).hexdigest()
    return bool(json.loads(record.read_text())["source_sha256"] != source)


def folder() -> Path:
    """Return the version that is measured."""
    if given := os.environ.get("PERF_MODEL"):
        return Path(given)
    found = MODELS.glob("unet-lv/*/model.onnx")
    return max(found, key=lambda path: int(path.parent.name)).parent


def _prepare(precision: str) -> Prepared:
    ours = open_vino(folder() / FILES[precision], precision)
    theirs = onnx_runtime(folder() / FILES["fp32"])
    images = _pictures().images[:FRAMES, None]
    sizes = {side: fastest(side, images) for side in (ours, theirs)}
    return Prepared(
        partial(_in_batches, ours, images, sizes[ours]),
        partial(_in_batches, theirs, images, sizes[theirs]),
        FRAMES,
        partial(_same, precision, ours, theirs, (sizes[ours], sizes[theirs])),
    )


def open_vino(path: Path, precision: str) -> Run:
    """Return what runs the file as the project's backend does, on one thread."""
    compiled = openvino.Core().compile_model(str(path), "CPU", _options(precision))
    request = compiled.create_infer_request()

    def run(images: Bytes) -> tuple[Bytes, Floats]:
        found = request.infer({"image": images}, share_inputs=True, share_outputs=True)
        return found["mask"], found["confidence"]

    return run


def _options(precision: str) -> dict[str, Any]:
    return {
        "INFERENCE_PRECISION_HINT": HINTS[precision],
        "INFERENCE_NUM_THREADS": 1,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
    }


@cache
def _pictures() -> Pictures:
    return phantom_pictures(HEARTS, per_heart=PER_HEART, seed=4)


def fastest(run: Run, images: Bytes) -> int:
    """Return the batch size with the least time a frame, of three tries each."""
    return min(BATCHES, key=lambda size: _seconds(partial(run, images[:size])) / size)


def _seconds(work: Callable[[], object]) -> float:
    work()  # the first run of a size allocates
    times = []
    for _ in range(TRIES):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def _in_batches(run: Run, images: Bytes, size: int) -> None:
    for start in range(0, len(images), size):
        run(images[start : start + size])


def _same(precision: str, ours: Run, theirs: Run, sizes: tuple[int, int]) -> tuple[bool, str]:
    """Whether at most 0.002 of the Dice is lost, and the masks are theirs."""
    pictures = _pictures()
    found, expected = _masks(ours, pictures.images), _masks(theirs, pictures.images)
    agreement = _mean_dice(found, expected)
    where, mine, other = (
        "phantom frames",
        *(_mean_dice(m, pictures.masks) for m in (found, expected)),
    )
    if data := os.environ.get("PERF_DATA"):
        slices = load_slices(Path(data), HELD_OUT)
        where = f"{len(slices)} slices of {len(HELD_OUT)} unseen subjects"
        mine, other = (evaluate(slices, _copied(run)).mean for run in (ours, theirs))
    note = (
        f"Dice {mine:.4f} against {other:.4f} on {where} (lost {other - mine:.4f}, at most "
        f"{DICE_LOST}); masks agree, Dice {agreement:.4f} on {len(found)} phantom frames; "
        f"batches of {sizes[0]} against {sizes[1]}; {_computed(precision)}"
    )
    return other >= FOUND and other - mine <= DICE_LOST and agreement >= AGREEMENT, note


def _copied(run: Run) -> Run:
    """Return masks that outlive the next call."""
    return lambda images: tuple(array.copy() for array in run(images))  # type: ignore[return-value]


def _masks(run: Run, images: Bytes) -> Bytes:
    return np.concatenate([run(image[None, None])[0].copy() for image in images])


def _mean_dice(found: Bytes, true: Bytes) -> float:
    return float(np.mean([dice(one, other) for one, other in zip(found, true, strict=True)]))


def _computed(precision: str) -> str:
    """Say what OpenVINO really computed in, and the share of time of it, layer by layer."""
    options = {**_options(precision), "PERF_COUNT": True}
    path = str(folder() / FILES[precision])
    request = openvino.Core().compile_model(path, "CPU", options).create_infer_request()
    for _ in range(TRIES):
        request.infer({"image": _pictures().images[:1, None]})
    spent: Counter[str] = Counter()
    for layer in request.profiling_info:
        heavy = layer.node_type in CONVOLUTIONS
        kind = layer.exec_type.rpartition("_")[2].lower() if heavy else "rest"
        spent[kind] += layer.real_time.total_seconds()
    shares = (f"{kind} {time_s / spent.total():.0%}" for kind, time_s in sorted(spent.items()))
    return f"our time at batch 1: convolutions in {', '.join(shares)}"
