"""How much fine detail a frame has."""

from __future__ import annotations

from kernels.backend import Array, backend_of, to_host
from kernels.checks import check_frame


def sharpness(frame: Array, /) -> float:
    """Return the variance of the Laplacian (Pech-Pacheco 2000), in squared units of `frame`.

    `frame`: (rows, columns), any integer or float dtype. The Laplacian takes four neighbours; the
    frame is mirrored at its edges without repeating them (as the variance of cv2.Laplacian).
    Blur lowers it, noise raises it: read it beside `noise`. Waits for the device. Raises
    KernelInputError for NaN or infinity.
    """
    check_frame(frame)
    return float(to_host(backend_of(frame).sharpness(frame)))  # synchronize
