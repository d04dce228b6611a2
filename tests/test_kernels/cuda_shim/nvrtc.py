"""NVIDIA's own compiler for CUDA C++, from its wheel; it needs no GPU."""

from __future__ import annotations

import ctypes
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path


@lru_cache(maxsize=1)
def _nvrtc() -> ctypes.CDLL:
    spec = find_spec("nvidia.cuda_nvrtc")
    assert spec is not None, "install the development packages: nvidia-cuda-nvrtc-cu12"
    folder = Path(next(iter(spec.submodule_search_locations or ()))) / "lib"
    return ctypes.CDLL(str(folder / "libnvrtc.so.12"))


def compile_cuda(source: str, options: tuple[str, ...]) -> tuple[bytes, str]:
    """Return what `source` compiles to, and what the compiler said.

    With the option -arch=sm_NN that is machine code (an ELF file), with -arch=compute_NN it is
    PTX. Raises AssertionError with the compiler's log when it does not compile.
    """
    nvrtc = _nvrtc()
    program = ctypes.c_void_p()
    text = source.encode()
    assert not nvrtc.nvrtcCreateProgram(ctypes.byref(program), text, b"source.cu", 0, None, None)
    try:
        words = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
        failed = nvrtc.nvrtcCompileProgram(program, len(options), words)
        said = _text(nvrtc, "ProgramLog", program).rstrip(b"\0").decode().strip()
        assert not failed, said
        real = any(option.startswith("-arch=sm_") for option in options)
        return _text(nvrtc, "CUBIN" if real else "PTX", program), said
    finally:
        nvrtc.nvrtcDestroyProgram(ctypes.byref(program))


def _text(nvrtc: ctypes.CDLL, what: str, program: ctypes.c_void_p) -> bytes:
    size = ctypes.c_size_t()
    assert not nvrtc[f"nvrtcGet{what}Size"](program, ctypes.byref(size))
    text = ctypes.create_string_buffer(size.value)
    assert not nvrtc[f"nvrtcGet{what}"](program, text)
    return text.raw
