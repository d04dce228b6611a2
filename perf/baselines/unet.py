"""The U-Net as ONNX Runtime runs it: its CPU provider, single precision, everything optimised."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]
Run = Callable[[Bytes], tuple[Bytes, Floats]]


def onnx_runtime(path: Path, *, threads: int = 1) -> Run:
    """Return what runs the file on `threads` threads: images to masks and confidences.

    Images are uint8 [N, 1, 256, 256]. Graph optimisation to the end, and outputs bound to memory
    that is allocated once a batch size, as the project's own documents advise for throughput.
    """
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    bound: dict[int, tuple[Any, Bytes, Floats]] = {}

    def bind(count: int) -> tuple[Any, Bytes, Floats]:
        sizes = {one.name: one.shape[1:] for one in session.get_outputs()}
        mask = np.empty((count, *sizes["mask"]), np.uint8)
        confidence = np.empty((count, *sizes["confidence"]), np.float32)
        binding = session.io_binding()
        for name, array in (("mask", mask), ("confidence", confidence)):
            binding.bind_output(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
        return binding, mask, confidence

    def run(images: Bytes) -> tuple[Bytes, Floats]:
        if len(images) not in bound:
            bound[len(images)] = bind(len(images))
        binding, mask, confidence = bound[len(images)]
        binding.bind_cpu_input("image", images)
        session.run_with_iobinding(binding)
        return mask, confidence

    return run
