"""What can be seen on a GPU only: real sizes, streams, races. `pytest -m gpu`."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest

from kernels import _cupy, _reference
from perf.gpu.chain import enhanced, specified
from tests.test_kernels.conftest import with_gpu
from tests.test_kernels.frames import Array, picture

pytestmark = pytest.mark.gpu

SHAPE = (512, 500)


@pytest.fixture
def gpu() -> ModuleType:
    return with_gpu()


def noise(dtype: Any) -> Array:
    return np.random.default_rng(1).integers(0, 4096, SHAPE).astype(dtype)


def masks() -> Array:
    """Just above the density at which pieces grow together: long, winding, one beside the other."""
    return (np.random.default_rng(2).random(SHAPE) < 0.42).astype(np.uint8)


EXACT: dict[str, tuple[Array, tuple[Any, ...]]] = {
    "clahe": (picture(SHAPE), (2.0, (8, 8), 4096)),
    "largest_component": (masks(), ()),
    "median3": (noise(np.uint16), ()),
    "modality": (noise(np.int16), (1.7, -1024.0)),
    "nearest": (masks(), ((700, 300),)),
    "percentile_window": (noise(np.float32), (2560, 253440, 4096)),
}


@pytest.mark.parametrize("name", EXACT)
def test_real_sizes_are_exact(gpu: ModuleType, name: str) -> None:
    frame, parameters = EXACT[name]
    got = gpu.asnumpy(getattr(_cupy, name)(gpu.asarray(frame), *parameters))
    want = getattr(_reference, name)(frame, *parameters)
    np.testing.assert_array_equal(got, want, strict=True)


def test_clahe_of_16_bits_is_exact(gpu: ModuleType) -> None:
    frame = picture(SHAPE, top=65535)
    got = gpu.asnumpy(_cupy.clahe(gpu.asarray(frame), 2.0, (8, 8), 65536))
    np.testing.assert_array_equal(got, _reference.clahe(frame, 2.0, (8, 8), 65536))


CLOSE: dict[str, tuple[Array, tuple[Any, ...], float]] = {
    "normalise": (noise(np.float32), (3.0,), 1),
    "resample": (noise(np.float32), ((300, 256), "auto"), 1e-2),
    "unsharp": (noise(np.int16), (2.0, 0.5), 1),
    "window": (noise(np.int16), (2048.0, 4096.0, "LINEAR", 0), 1e-6),
}


@pytest.mark.parametrize("name", CLOSE)
def test_real_sizes_are_close(gpu: ModuleType, name: str) -> None:
    frame, parameters, atol = CLOSE[name]
    got = gpu.asnumpy(getattr(_cupy, name)(gpu.asarray(frame), *parameters))
    want = getattr(_reference, name)(frame, *parameters)
    assert got.dtype == want.dtype
    np.testing.assert_allclose(got.astype(float), want.astype(float), atol=atol)


@pytest.mark.parametrize("name", [*EXACT, *CLOSE])
def test_every_run_gives_the_same_bits(gpu: ModuleType, name: str) -> None:
    """Blocks run in another order each time."""
    frame, parameters = {**EXACT, **CLOSE}[name][:2]
    device = gpu.asarray(np.stack([frame] * 16))
    first = gpu.asnumpy(getattr(_cupy, name)(device, *parameters))
    np.testing.assert_array_equal(first, np.broadcast_to(first[0], first.shape))
    for _ in range(10):
        again = gpu.asnumpy(getattr(_cupy, name)(device, *parameters))
        np.testing.assert_array_equal(again, first)


def test_nothing_waits_for_the_device(gpu: ModuleType) -> None:
    """A stream that is recorded into a graph refuses to be waited for."""
    frames = np.stack([picture((512, 512), seed=seed) for seed in range(2)])
    stream = gpu.cuda.Stream(non_blocking=True)
    with stream:
        device = gpu.asarray(frames)
        enhanced(device)  # compiled, weights copied, memory at hand
        stream.synchronize()
        stream.begin_capture()
        out = enhanced(device)
        graph = stream.end_capture()
        graph.launch(stream)
        stream.synchronize()
        got = gpu.asnumpy(out)
    want = np.stack([specified(frame) for frame in frames])
    assert abs(got.astype(int) - want).max() <= 2


def test_streams_do_not_disturb_each_other(gpu: ModuleType) -> None:
    frames = [np.stack([picture((512, 512), seed=seed)] * 8) for seed in range(3)]
    streams = [gpu.cuda.Stream(non_blocking=True) for _ in frames]
    devices = [gpu.asarray(frame) for frame in frames]
    gpu.cuda.Device().synchronize()
    results = []
    for _ in range(5):
        for stream, device in zip(streams, devices, strict=True):
            with stream:
                results.append(enhanced(device))
    gpu.cuda.Device().synchronize()
    for number, frame in enumerate(frames):
        want = specified(frame[0]).astype(int)
        for result in results[number :: len(frames)]:
            assert abs(gpu.asnumpy(result).astype(int) - want).max() <= 2
