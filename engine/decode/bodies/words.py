"""Eight bytes at a time, at any offset: what the compiled decoders read and copy by.

Nothing is checked here: a caller leaves `PADDING` bytes behind its data, or checks its index.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from numba import types
from numba.extending import intrinsic

PADDING = 16  # bytes to leave behind an array that `load` and `store` walk through


def _intrinsic(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return what is called without the first argument, `typing`, from compiled code."""
    return cast(Callable[..., Any], intrinsic(function))


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, offset: Any) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    word = context.get_value_type(types.uint64)
    return builder.bitcast(builder.gep(data, [offset]), word.as_pointer())


@_intrinsic
def load(typing: Any, data: Any, offset: Any) -> Any:
    """Return `data[offset : offset + 8]` (uint8) as a little-endian uint64."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = _pointer(context, builder, signature.args[0], args[0], args[1])
        return builder.load(pointer, align=1)

    return types.uint64(data, types.int64), code


@_intrinsic
def store(typing: Any, data: Any, offset: Any, word: Any) -> Any:
    """Write a uint64 as `data[offset : offset + 8]` (uint8), little-endian."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = _pointer(context, builder, signature.args[0], args[0], args[1])
        builder.store(args[2], pointer, align=1)
        return context.get_dummy_value()

    return types.void(data, types.int64, types.uint64), code


@_intrinsic
def swapped(typing: Any, word: Any) -> Any:
    """Return a uint64 with its bytes in reverse order."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bswap(args[0])

    return types.uint64(types.uint64), code


@_intrinsic
def leading_zeros(typing: Any, word: Any) -> Any:
    """Return how many of the highest bits of a uint64 are 0; 64 for 0."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.ctlz(args[0], context.get_constant(types.boolean, False))

    return types.uint64(types.uint64), code
