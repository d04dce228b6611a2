"""JPEG-LS (ISO/IEC 14495-1 annex A): one scan of one component, lossless or near-lossless.

The names are the standard's: a is left of the sample, b above it, c left of b and d right of b; a
context keeps A, B, C and N. Its Golomb parameter k is kept too: it is known long before it is used.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from engine.decode.bodies.compiling import compiled
from engine.decode.bodies.golomb import ENOUGH, Bits, code, more, read
from engine.decode.bodies.words import leading_zeros

Bytes = np.ndarray[Any, np.dtype[np.uint8]]
Values = np.ndarray[Any, np.dtype[np.uint16]]
Numbers = np.ndarray[Any, np.dtype[np.int32]]

# A context is 8 numbers of a flat array: unsigned indices into it are not checked for a sign.
_A, _B, _C, _N, _K = (np.uint64(place) for place in range(5))
_RUNS = 365  # the contexts of run interruption follow those of the gradients; C counts their Nn
_J = np.array([0] * 4 + [1] * 4 + [2] * 4 + [3] * 4 + [4, 4, 5, 5, 6, 6, 7, 7, *range(8, 16)])
_MOST = 1 << 24


class Coding(NamedTuple):
    """What a scan is coded by (C.2.4.1.1, A.2.1)."""

    maxval: int
    near: int
    reset: int
    range: int
    qbpp: int
    limit: int


@compiled
def decode(data: Bytes, start: int, coding: Coding, gradients: Any, out: Values) -> tuple[int, int]:
    """Decode the scan at `data[start]` into `out` (rows, columns).

    Returns how many rows came out whole, and where the data were left. `data` ends with `END`.
    `gradients` (2 * maxval + 1,) int8 are the regions (A.3.3) of differences from -maxval on.
    """
    rows, columns = out.shape
    contexts = np.zeros((_RUNS + 2) * 8, np.int32)
    contexts[np.int64(_A) :: 8] = max(2, (coding.range + 32) >> 6)
    contexts[np.int64(_N) :: 8] = 1
    contexts[np.int64(_K) :: 8] = _golomb(contexts[np.int64(_A)], 1)
    above, line = np.zeros(columns + 2, np.int32), np.zeros(columns + 2, np.int32)
    bits, run_index = Bits(np.uint64(0), np.uint64(0), np.int64(start), np.uint64(0)), 0
    for row in range(rows):
        line[0] = above[1]
        above[columns + 1] = above[columns]
        lines = above, line
        bits, run_index = _row(data, bits, run_index, coding, gradients, contexts, lines)
        if bits.held < bits.invented:
            return row, bits.at
        for column in range(columns):
            out[row, column] = line[column + 1]
        above, line = line, above
    return rows, bits.at


@compiled
def _row(
    data: Bytes, bits: Any, run_index: Any, coding: Any, gradients: Any, contexts: Any, lines: Any
) -> Any:
    """Decode the row below `lines[0]` into `lines[1][1:-1]`; return `bits` and RUNindex then."""
    above, line = lines
    columns, maxval = len(line) - 2, coding.maxval
    step = 2 * coding.near + 1
    column = 1
    a, b, c = np.int64(line[0]), np.int64(above[1]), np.int64(above[0])
    above_region = np.int64(gradients[b - c + maxval])
    while column <= columns:
        d = np.int64(above[np.uint64(column + 1)])
        next_region = np.int64(gradients[np.uint64(d - b + maxval)])
        context = 81 * next_region + 9 * above_region + gradients[np.uint64(c - a + maxval)]
        above_region = next_region
        if bits.held < ENOUGH:
            bits = more(data, bits)
        if context == 0:
            bits, run_index, column = _run(
                data, bits, run_index, coding, contexts, above, line, column
            )
            a, b, c = line[column - 1], above[column], above[column - 1]
            above_region = np.int64(gradients[np.uint64(b - c + maxval)])
            continue
        sign = context >> 63  # 0 or -1: turning the bits and taking it away negates
        at = np.uint64((context ^ sign) - sign) * np.uint64(8)
        k = np.int64(contexts[at + _K])
        bias = np.int64(contexts[at + _C])
        guess = min(max(_predicted(a, b, c) + (bias ^ sign) - sign, 0), maxval)
        mapped, bits = code(data, bits, k, coding.limit, coding.qbpp)
        error = (mapped >> 1) ^ -(mapped & 1)
        if k == 0 and coding.near == 0 and 2 * contexts[at + _B] <= -contexts[at + _N]:
            error = ~error
        _update(contexts, at, error, step, coding.reset)
        c, a, b = b, _rebuilt(guess, (error ^ sign) - sign, coding), d
        line[np.uint64(column)] = a
        column += 1
    return bits, run_index


@compiled
def _predicted(a: Any, b: Any, c: Any) -> Any:
    """Return the median of a, b and a + b - c (A.4.1)."""
    low, high = min(a, b), max(a, b)
    return min(max(a + b - c, low), high)


@compiled
def _rebuilt(guess: Any, error: Any, coding: Any) -> Any:
    """Return a sample from guess and error, modulo the range (A.4.4, A.4.5)."""
    if coding.near == 0 and coding.range & coding.maxval == 0:  # a power of two
        return (guess + error) & coding.maxval
    step = 2 * coding.near + 1
    value = guess + error * step
    if value < -coding.near:
        value += coding.range * step
    elif value > coding.maxval + coding.near:
        value -= coding.range * step
    return min(max(value, 0), coding.maxval)


@compiled
def _golomb(a: Any, n: Any) -> Any:
    """Return the least k for which n * 2**k is not below a (A.5.1), for n > 0.

    At most 25, which only damage makes: no valid code has more than 16 bits behind its zeros.
    """
    a = min(max(a, 1), _MOST)
    k = np.int64(leading_zeros(np.uint64(n))) - np.int64(leading_zeros(np.uint64(a)))
    k = max(k, np.int64(0))
    return k + np.int64(np.int64(n) << k < a)


@compiled
def _update(contexts: Numbers, at: Any, error: Any, step: Any, reset: Any) -> None:
    """Count an error into its context (A.6)."""
    a = np.int64(contexts[at + _A]) + abs(error)
    b = np.int64(contexts[at + _B]) + error * step
    n = np.int64(contexts[at + _N])
    if n == reset:
        a, b, n = a >> 1, b >> 1, n >> 1
    n += 1
    low, high = np.int64(b <= -n), np.int64(b > 0)  # no branches: nobody could guess them
    b += (low - high) * n
    b = max(b, 1 - n) if low else b
    b = min(b, 0) if high else b
    bias: Any = np.int64(contexts[at + _C]) + high - low
    contexts[at + _C] = min(max(bias, -128), 127)
    contexts[at + _A], contexts[at + _B], contexts[at + _N] = min(a, _MOST), b, n
    contexts[at + _K] = _golomb(a, n)


@compiled
def _run(
    data: Bytes,
    bits: Any,
    run_index: Any,
    coding: Any,
    contexts: Numbers,
    above: Numbers,
    line: Numbers,
    column: Any,
) -> Any:
    """Decode a run from `column` on and the sample that ends it (A.7); return what is behind."""
    columns, a = len(line) - 2, line[column - 1]
    end, is_cut = column, False
    while not is_cut:
        bit, bits = read(data, bits, 1)
        length = np.int64(1) << _J[run_index]
        if bit == 0:
            length, bits = read(data, bits, _J[run_index])
            is_cut = True
        elif end + length <= columns + 1:
            run_index = min(run_index + 1, 31)
        end = min(end + length, columns + 1)
        is_cut |= end > columns
    line[column:end] = a
    if end > columns:
        return bits, run_index, columns + 1
    bits, line[end] = _interruption(data, bits, run_index, coding, contexts, a, above[end])
    return bits, max(run_index - 1, 0), end + 1


@compiled
def _interruption(
    data: Bytes, bits: Any, run_index: Any, coding: Any, contexts: Numbers, a: Any, b: Any
) -> Any:
    """Decode the sample that ends a run (A.7.2)."""
    alike = np.int64(abs(a - b) <= coding.near)
    at = np.uint64(8 * (_RUNS + alike))
    n = np.int64(contexts[at + _N])
    k = _golomb(np.int64(contexts[at + _A]) + alike * (n >> 1), n)
    mapped, bits = code(data, bits, k, coding.limit - _J[run_index] - 1, coding.qbpp)
    odd = (mapped + alike) & 1
    error = (mapped + alike + odd) >> 1
    if (k != 0 or 2 * contexts[at + _C] >= n) == (odd == 1):
        error = -error
    contexts[at + _C] += error < 0
    contexts[at + _A] += (mapped + 1 - alike) >> 1
    if n == coding.reset:
        contexts[at + _A] >>= 1
        contexts[at + _C] >>= 1
        n >>= 1
    contexts[at + _N] = n + 1
    if not alike and a > b:
        error = -error
    return bits, _rebuilt(a if alike else b, error, coding)
