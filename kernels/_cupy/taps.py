"""The weights of the specification as short lists, for the kernels that resample."""

import numpy as np

from kernels._cupy.device import constant
from kernels._reference.resample import weights
from kernels.backend import Array


def taps(before: int, after: int, method: str) -> tuple[Array, Array]:
    """Return for each new pixel its first old pixel, int32 (after,), and weights, (after, taps).

    On the device; made and copied there on the first call only.
    """
    return constant(_first, before, after, method), constant(_weights, before, after, method)


def _first(before: int, after: int, method: str) -> Array:
    """Return where the lists begin; one that would reach over the edge begins earlier."""
    matrix = weights(before, after, method)
    return np.minimum(_begins(matrix), before - _length(matrix)).astype(np.int32)


def _weights(before: int, after: int, method: str) -> Array:
    matrix = weights(before, after, method)
    columns = _first(before, after, method)[:, None] + np.arange(_length(matrix))
    return np.ascontiguousarray(np.take_along_axis(matrix, columns.astype(np.int64), axis=1))


def _begins(matrix: Array) -> Array:
    return np.asarray((matrix != 0).argmax(axis=1))


def _length(matrix: Array) -> int:
    ends = matrix.shape[1] - (matrix[:, ::-1] != 0).argmax(axis=1)
    return int((ends - _begins(matrix)).max())
