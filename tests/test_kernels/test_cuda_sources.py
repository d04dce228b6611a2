"""The CUDA sources compile for the GPUs that we name, without a warning. No GPU is needed."""

from __future__ import annotations

from pathlib import Path

import pytest

from kernels import _cupy, _reference
from kernels._cupy import device
from tests.test_kernels.cuda_shim import host, nvrtc

NAMES = sorted(path.stem for path in Path(_cupy.__file__).parent.glob("*.cu"))
ELF = b"\x7fELF"
BY_CUPY = ("-ftz=true",)  # what CuPy adds by itself


def variants(name: str) -> list[str]:
    """Return the number types that a source is compiled for."""
    return list(device.NATIVE) if "VALUE" in device.source(name) else ["uint16"]


def compiled(name: str, number: str, architecture: str) -> bytes:
    """Compile; a warning is a failure."""
    options = (*device.OPTIONS, *BY_CUPY, f"-DVALUE={number}", f"-arch={architecture}")
    code, said = nvrtc.compile_cuda(device.source(name), options)
    assert said == ""
    return code


@pytest.mark.parametrize("name", NAMES)
def test_source_compiles_without_a_warning(name: str) -> None:
    """To machine code for H100 with one number type, to PTX for A100 with each."""
    assert host.kernel_names(device.source(name)), "a source has kernels"
    first, *others = variants(name)
    assert compiled(name, first, "sm_90").startswith(ELF)
    for number in others or [first]:
        assert b".target sm_80" in compiled(name, number, "compute_80")


def test_the_compiler_is_heard() -> None:
    """What is wrong fails, and what is doubtful is a warning: so the tests above can fail."""
    with pytest.raises(AssertionError, match="undefined"):
        nvrtc.compile_cuda("__global__ void k() { undeclared = 1; }", ("-arch=sm_90",))
    _, said = nvrtc.compile_cuda("__global__ void k() { int unused; }", ("-arch=sm_90",))
    assert "never referenced" in said


@pytest.mark.parametrize("name", NAMES)
def test_source_stays_portable(name: str) -> None:
    text = device.source(name)
    for word in ("#include", "asm", "extern __shared__", "threadIdx.y", "threadIdx.z"):
        assert word not in text, f"{name}.cu: {word}"


@pytest.mark.parametrize("name", NAMES)
def test_every_launch_names_a_kernel(name: str) -> None:
    """A wrong name would show only where there is a GPU."""
    body = (Path(_cupy.__file__).parent / f"{name}.py").read_text()
    for kernel in host.kernel_names(device.source(name)):
        assert f'"{name}.{kernel}"' in body


# What is done to bytes in host memory, on the way to and from the broker.
HOST_ONLY = {"delta_shuffle", "undelta_shuffle"}


def test_every_body_has_its_twin() -> None:
    assert set(_cupy.__all__) == set(_reference.__all__) - HOST_ONLY
