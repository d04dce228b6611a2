"""CuPy, or what stands in for it: `cupy` runs a test on each."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from tests.test_kernels.cuda_shim import host


@pytest.fixture(params=["forwards", "backwards", pytest.param("gpu", marks=pytest.mark.gpu)])
def cupy(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """CuPy on a GPU, or the same kernels on the CPU, threads and blocks there and back."""
    if request.param == "gpu":
        return with_gpu()
    library = host.library(reverse=request.param == "backwards")
    monkeypatch.setitem(sys.modules, "cupy", library)
    return library


def with_gpu() -> ModuleType:
    """Return CuPy; skip the test where it or its GPU is missing."""
    cupy: ModuleType = pytest.importorskip("cupy", reason="CuPy is not installed")
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        pytest.skip(f"no CUDA GPU: {error}")
    if not count:
        pytest.skip("no CUDA GPU")
    return cupy
