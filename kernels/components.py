"""The connected pieces of a mask, numbered."""

from __future__ import annotations

from kernels.backend import Array, backend_of, to_host
from kernels.checks import check_mask
from kernels.errors import KernelInputError


def components(mask: Array, /, *, connectivity: int = 8) -> tuple[Array, int]:
    """Number the connected pieces of the pixels above 0, in raster order of their first pixel.

    `mask`: uint8 or bool, (rows, columns); labels are not told apart. `connectivity`: 4 (edges) or
    8 (edges and corners). Returns int32 of the same shape, 0 outside and 1 to count inside, and
    the count: what scipy.ndimage.label returns with the structure of that connectivity. The count
    waits for the device. Raises KernelInputError for another dtype, shape or connectivity.
    """
    mask = check_mask(mask)
    if connectivity not in (4, 8):
        raise KernelInputError(f"`connectivity` must be 4 or 8, got {connectivity}")
    labels, count = backend_of(mask).components(mask, connectivity)
    return labels, int(to_host(count))  # synchronize
