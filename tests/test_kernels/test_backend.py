"""The folders of bodies: the same names in each, and few compilations."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import numba
import numpy as np
import pytest

import kernels
from kernels import _numba, _reference
from kernels._numba import jit
from kernels.backend import backend_of
from tests.test_kernels.frames import LAYOUTS, picture, with_layout


def test_kernels_is_ours() -> None:
    """Another distribution of this name is on the package index."""
    assert Path(kernels.__file__).parent.parent == Path(__file__).parent.parent.parent


def test_every_body_has_its_twin() -> None:
    assert _numba.__all__ == _reference.__all__


def test_numpy_arrays_go_to_the_compiled_bodies() -> None:
    assert backend_of(np.zeros(1)) is _numba


def test_layouts_share_one_compilation() -> None:
    body = import_module("kernels._numba.modality")._rescale
    for layout in LAYOUTS:
        kernels.modality(with_layout(picture((8, 8)), layout), slope=2, intercept=1)
    assert sum(str(signature[0].dtype) == "uint16" for signature in body.signatures) == 1


def test_nothing_is_copied_that_lies_right() -> None:
    frame = picture((8, 8))
    view = jit.native(frame)
    assert np.shares_memory(view, frame)
    assert frame.flags.writeable
    assert not view.flags.writeable


def test_without_a_cache_folder_bodies_are_compiled_anyway(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = numba.njit

    def njit(*, nogil: bool, cache: bool = False) -> object:
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return real(nogil=nogil)

    monkeypatch.setattr(numba, "njit", njit)

    def double(x: int) -> int:
        return 2 * x

    assert jit.compiled(double)(4) == 8
