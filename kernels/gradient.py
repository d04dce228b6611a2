"""How steeply values change inside a region."""

from __future__ import annotations

from kernels.backend import Array, backend_of, to_host
from kernels.checks import check_frame, check_inside, check_region

NAMES = ("mean", "std", "max")


def gradient(frame: Array, mask: Array | None = None, /) -> dict[str, float]:
    """Return `mean`, `std` and `max` of the Sobel magnitude where `mask` is above 0.

    `frame`: (rows, columns), any integer or float dtype; `mask`: uint8 or bool of the same shape
    with a pixel inside, None for the whole frame. The magnitude is in units of `frame` per pixel:
    a ramp that rises by 1 a pixel has 1 (scipy.ndimage.sobel along both axes, mode "nearest",
    over 8; skimage.filters.sobel over the square root of 2). The neighbours of a pixel count
    whether they are inside or not; the frame's edges are replicated. `std` is of the population.
    Waits for the device. Raises KernelInputError for NaN or infinity anywhere and an empty mask.
    """
    check_frame(frame)
    mask = check_region(frame, mask)
    values = backend_of(frame).gradient(frame, mask)
    count, *found = to_host(values).tolist()  # synchronize
    check_inside(count)
    return dict(zip(NAMES, found, strict=True))
