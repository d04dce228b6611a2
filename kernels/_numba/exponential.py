"""exp(-x) of a whole line: the compiler has no vector form of `math.exp`."""

import numpy as np

from kernels._numba.jit import compiled
from kernels.backend import Array

_LOG2_E = np.float32(1.4426950408889634)
_LN_2 = np.float32(0.6931471805599453)
_ROOT = np.float32(0.7071067811865476)
_LAST = np.float32(87.0)  # exp(-87) is the smallest that float32 holds in full


@compiled
def exp_negative(x: Array, bits: Array, out: Array) -> None:
    """Write exp(-x) for x >= 0, float32, to a relative error of 1e-5; `bits` is int32 scratch.

    exp(-x) = 2**-whole * 2**-part: the first is put together as the exponent of a float, the
    second is a polynomial around the middle of its range. Beyond 87 it stays 1.6e-38.
    """
    one, half = np.float32(1), np.float32(0.5)
    for i in range(x.size):
        power = min(x[i], _LAST) * _LOG2_E
        whole = np.int32(power)
        p = (half - (power - np.float32(whole))) * _LN_2
        series = one + p * np.float32(1 / 6)
        series = one + p * np.float32(1 / 5) * series
        series = one + p * np.float32(1 / 4) * series
        series = one + p * np.float32(1 / 3) * series
        series = one + p * half * series
        out[i] = (one + p * series) * _ROOT
        bits[i] = (np.int32(127) - whole) << np.int32(23)
    scale = bits.view(np.float32)
    for i in range(x.size):
        out[i] *= scale[i]
