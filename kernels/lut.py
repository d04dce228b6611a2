"""Values through a table: the Modality LUT and the VOI LUT in their table form."""

from __future__ import annotations

from kernels.backend import Array, backend_of
from kernels.checks import check_frame
from kernels.errors import KernelInputError

_EXACT = 2**53


def lut(frame: Array, /, *, table: Array, first: int) -> Array:
    """Look each value up in a table (PS3.3 C.11.1.1.1 and C.11.2.1.1).

    `frame`: (rows, columns), any integer or float dtype; floats are rounded half up. `table`:
    (entries,), LUTData (0028,3006), as integers or floats of 8, 16 or 32 bits. `first`: the value
    that the first entry stands for, the second number of LUTDescriptor (0028,3002). What lies
    before takes the first entry, what lies beyond the last one. Returns the dtype of `table`, of
    the shape of `frame`. Raises KernelInputError for an empty or other table, NaN, infinity.
    """
    check_frame(frame)
    dtype = getattr(table, "dtype", None)
    if dtype is None or dtype.kind not in "uif" or dtype.itemsize > 4:
        raise KernelInputError(f"`table` must be numbers of at most 32 bits, got {dtype}")
    if table.ndim != 1 or table.size == 0:
        raise KernelInputError(f"`table` must be (entries,), not empty, got {table.shape}")
    if abs(first) > _EXACT:
        raise KernelInputError(f"`first` must lie within 2**53, got {first}")
    native = dtype.newbyteorder("=")
    result: Array = backend_of(frame).lut(frame, table.astype(native, copy=False), int(first))
    return result
