"""What runs CUDA sources on the CPU finds the faults that it is there to find."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import kernels
from kernels._cupy import device
from tests.test_kernels.cuda_shim import host

SOURCE = """
extern "C" __global__ void reverse(int32* out) {
    __shared__ int32 values[64];
    values[threadIdx.x] = out[threadIdx.x];
    __syncthreads();
    out[threadIdx.x] = values[63 - threadIdx.x];
}
extern "C" __global__ void without_barrier(int32* out) {
    __shared__ int32 values[64];
    values[threadIdx.x] = out[threadIdx.x];
    out[threadIdx.x] = values[63 - threadIdx.x];
}
extern "C" __global__ void half_a_barrier(int32* out) {
    if (threadIdx.x < 32) __syncthreads();
    out[threadIdx.x] = 0;
}
extern "C" __global__ void late_barrier(int32* out) {
    if (threadIdx.x > 0) __syncthreads();
}
extern "C" __global__ void two_barriers(int32* out) {
    if (threadIdx.x < 32) __syncthreads();
    else
        __syncthreads();
}
extern "C" __global__ void half_a_shuffle(int32* out) {
    if (threadIdx.x % 32 < 16) out[threadIdx.x] = __shfl_up_sync(0xffffu, out[threadIdx.x], 1);
}
extern "C" __global__ void beyond(int32* out) { out[threadIdx.x + 1] = 0; }
extern "C" __global__ void into_input(const int32* in) { ((int32*)in)[threadIdx.x] = 7; }
extern "C" __global__ void beyond_shared(int32* out) {
    __shared__ int32 values[32];
    values[threadIdx.x] = 0;
    __syncthreads();
    out[threadIdx.x] = values[0];
}
extern "C" __global__ void odd_address(int32* out) {
    using Two = Pack<int32, 2>;
    *(Two*)(out + 1) = Two{{1, 2}};
}
extern "C" __global__ void too_large(int32* out) {
    out[threadIdx.x] = 0x7fffffff - 62 + out[threadIdx.x];
}
extern "C" __global__ void before_sums(int32* out) {
    int32 total;
    out[threadIdx.x] = sum_before(out[threadIdx.x], total);
}
"""


@pytest.fixture(scope="module")
def source() -> str:
    prelude = device.source("modality").partition("#line")[0]
    return prelude + SOURCE


@pytest.fixture(params=[False, True], ids=["forwards", "backwards"])
def kernel(source: str, request: pytest.FixtureRequest) -> Callable[[str], Any]:
    cupy = host.library(reverse=request.param)
    return lambda name: cupy.RawModule(code=source).get_function(name)


def numbers() -> host.ndarray:
    return host.asarray(np.arange(64, dtype=np.int32))


def test_threads_meet_at_barriers(kernel: Callable[[str], Any]) -> None:
    values = numbers()
    kernel("reverse")((1,), (64,), (values,))
    np.testing.assert_array_equal(host.asnumpy(values), np.arange(64)[::-1])


def test_a_missing_barrier_shows(kernel: Callable[[str], Any]) -> None:
    values = numbers()
    kernel("without_barrier")((1,), (64,), (values,))
    assert (host.asnumpy(values) != np.arange(64)[::-1]).any()


@pytest.mark.parametrize(
    "name", ["half_a_barrier", "late_barrier", "two_barriers", "half_a_shuffle"]
)
def test_a_barrier_is_for_all_threads(kernel: Callable[[str], Any], name: str) -> None:
    with pytest.raises(AssertionError, match="barrier"):
        kernel(name)((1,), (64,), (numbers(),))
    test_threads_meet_at_barriers(kernel)  # what was given up does not disturb the next


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("beyond_shared", "an index beyond the array"),
        ("odd_address", "not a multiple"),
        ("too_large", "a sum beyond its type"),
    ],
)
def test_what_no_gpu_reports_is_an_error(
    kernel: Callable[[str], Any], name: str, text: str
) -> None:
    with pytest.raises(AssertionError, match=text):
        kernel(name)((1,), (64,), (numbers(),))
    test_threads_meet_at_barriers(kernel)


def test_sums_run_over_warps(kernel: Callable[[str], Any]) -> None:
    values = numbers()
    kernel("before_sums")((1,), (64,), (values,))
    np.testing.assert_array_equal(host.asnumpy(values), np.cumsum(np.arange(64)) - np.arange(64))


def test_a_write_beyond_an_array_shows(kernel: Callable[[str], Any]) -> None:
    with pytest.raises(AssertionError, match="wrote outside"):
        kernel("beyond")((1,), (64,), (numbers(),))


def test_an_input_stays_as_it_is(kernel: Callable[[str], Any]) -> None:
    with pytest.raises(AssertionError, match="wrote to an input"):
        kernel("into_input")((1,), (64,), (numbers(),))


@pytest.mark.parametrize(
    "wrong",
    [
        (),
        (3,),
        (np.int32(3),),
        (host.asarray(np.zeros(64, np.int64)),),
        (np.zeros(64, np.int32),),
        (host.asarray(np.zeros((64, 2), np.int32))[:, 0],),
    ],
)
def test_an_argument_of_another_type_is_refused(
    kernel: Callable[[str], Any], wrong: tuple[Any, ...]
) -> None:
    with pytest.raises(AssertionError):
        kernel("reverse")((1,), (64,), wrong)


def test_a_body_that_waits_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", host.library(reverse=False))
    values = numbers()
    for wait in (float, bool, list):
        with pytest.raises(AssertionError, match="waits for the device"):
            wait(values)
    with pytest.raises(AssertionError, match="waits for the device"):
        values.max()


def test_values_of_a_device_are_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """The checks of NaN and of levels would wait for all that is queued."""
    library: ModuleType = host.library(reverse=False)
    monkeypatch.setitem(sys.modules, "cupy", library)
    frame = library.asarray(np.array([[1.0, np.nan]], np.float32))
    assert kernels.modality(frame, slope=1, intercept=0).shape == (1, 2)
    with pytest.raises(kernels.KernelInputError, match="rows, columns"):
        kernels.modality(frame[0], slope=1, intercept=0)


def test_without_its_arrays_cupy_is_not_loaded() -> None:
    code = (
        "import sys, numpy, kernels; kernels.modality(numpy.ones((2, 2)), slope=1, intercept=0); "
        "sys.exit(any(name.partition('.')[0] == 'cupy' or '_cupy' in name for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
