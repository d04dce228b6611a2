"""Frames to try the kernels on: shapes, dtypes, layouts and ranges that scanners send."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

Array = np.ndarray[Any, np.dtype[Any]]

# The first call of a body compiles it: no deadline. The same examples on every run.
quick = settings(deadline=None, max_examples=40, derandomize=True)

INTEGERS = [np.uint8, np.int8, np.uint16, np.int16, np.int32, np.uint32]
FLOATS = [np.float32, np.float64]
LAYOUTS = ["plain", "read-only", "fortran", "strided", "reversed", "big-endian"]


def with_layout(frame: Array, layout: str) -> Array:
    """Return the same values lying differently in memory."""
    if layout == "fortran":
        return np.asfortranarray(frame)
    if layout == "strided":
        return np.repeat(np.repeat(frame, 2, axis=0), 3, axis=1)[::2, ::3]
    if layout == "reversed":
        return np.ascontiguousarray(frame[::-1, ::-1])[::-1, ::-1]
    if layout == "big-endian":
        return frame.astype(frame.dtype.newbyteorder(">"))
    if layout == "read-only":
        return np.frombuffer(frame.tobytes(), frame.dtype).reshape(frame.shape)
    return frame


@st.composite
def frames(
    draw: st.DrawFn,
    dtypes: list[Any] | None = None,
    least: int | None = None,
    most: int | None = None,
) -> Array:
    """Draw a frame up to 20 x 20 of a number type, with values in [least, most]."""
    dtype = np.dtype(draw(st.sampled_from(dtypes or INTEGERS + FLOATS)))
    shape = draw(hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=20))
    if dtype.kind == "f":
        bound = 1e6
        elements: st.SearchStrategy[Any] = st.floats(
            -bound if least is None else least, bound if most is None else most, width=32
        )
    else:
        limits = np.iinfo(dtype)
        elements = st.integers(
            int(limits.min) if least is None else max(least, int(limits.min)),
            int(limits.max) if most is None else min(most, int(limits.max)),
        )
    frame = draw(hnp.arrays(dtype, shape, elements=elements))
    return with_layout(frame, draw(st.sampled_from(LAYOUTS)))


def picture(
    shape: tuple[int, int], *, dtype: Any = np.uint16, top: int = 4095, seed: int = 0
) -> Array:
    """Return a smooth picture with noise, values in [0, top]."""
    rng = np.random.default_rng(seed)
    y, x = np.indices(shape)
    waves = np.sin(y / 17) * np.cos(x / 23) + 0.3 * np.sin((x + y) / 5)
    noisy = waves + rng.normal(0, 0.05, shape)
    span = max(float(np.ptp(noisy)), 1e-9)
    result: Array = ((noisy - noisy.min()) / span * top).astype(dtype)
    return result
