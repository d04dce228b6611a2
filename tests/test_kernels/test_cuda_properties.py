"""The CUDA bodies are the specification over shapes, dtypes and ranges, as the CPU bodies are."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kernels import _cupy, _reference
from tests.test_kernels.frames import Array, frames

# The fixture holds no state that an example could leave to the next.
few = settings(
    deadline=None,
    max_examples=40,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
TYPES = [np.int16, np.float32]  # each type costs a compilation


def both(cupy: ModuleType, name: str, frame: Array, *parameters: Any) -> tuple[Array, Array]:
    """Return what the CUDA body gives, and the specification."""
    plain = frame.astype(frame.dtype.newbyteorder("="))
    got = cupy.asnumpy(getattr(_cupy, name)(cupy.asarray(plain), *parameters))
    return got, getattr(_reference, name)(frame, *parameters)


def same(got: Array, want: Array) -> None:
    np.testing.assert_array_equal(got, want)


def near(got: Array, want: Array) -> None:
    """Integers to 1, floats to a rounding; values reach 1e6."""
    atol = 1 if want.dtype.kind in "ui" else 0.1
    np.testing.assert_allclose(got.astype(float), want.astype(float), rtol=1e-6, atol=atol)


SIMPLE: list[tuple[str, tuple[Any, ...], Callable[[Array, Array], None]]] = [
    ("median3", (), same),
    ("modality", (-3.7, 12.5), same),
    ("normalise", (3.0,), near),
    ("unsharp", (1.3, 0.7), near),
    ("window", (40.0, 400.0, "LINEAR", 0), near),
]


@few
@given(frame=frames(TYPES), which=st.sampled_from(SIMPLE))
def test_values(cupy: ModuleType, frame: Array, which: Any) -> None:
    name, parameters, check = which
    check(*both(cupy, name, frame, *parameters))


@few
@given(frame=frames(TYPES), data=st.data(), bins=st.sampled_from([2, 256, 65536]))
def test_percentile_window(cupy: ModuleType, frame: Array, data: Any, bins: int) -> None:
    high = data.draw(st.integers(0, frame.size - 1))
    low = data.draw(st.integers(0, high))
    same(*both(cupy, "percentile_window", frame, low, high, bins))


@few
@given(
    frame=frames([np.uint16], most=299),
    rows=st.integers(1, 5),
    columns=st.integers(1, 5),
    clip_limit=st.floats(0, 50),
    bins=st.sampled_from([300, 4096, 5001]),
)
def test_clahe(
    cupy: ModuleType, frame: Array, rows: int, columns: int, clip_limit: float, bins: int
) -> None:
    # a tile cannot be mirrored further than the frame reaches
    tiles = min(rows, frame.shape[0]), min(columns, frame.shape[1])
    same(*both(cupy, "clahe", frame, clip_limit, tiles, bins))


@few
@given(
    frame=frames([*TYPES, np.uint8]),
    rows=st.integers(1, 45),
    columns=st.integers(1, 45),
    method=st.sampled_from(["auto", "area", "linear", "cubic"]),
)
def test_resample(cupy: ModuleType, frame: Array, rows: int, columns: int, method: str) -> None:
    near(*both(cupy, "resample", frame, (rows, columns), method))


@few
@given(frame=frames([np.uint8], most=1))
def test_largest_component(cupy: ModuleType, frame: Array) -> None:
    same(*both(cupy, "largest_component", frame))
