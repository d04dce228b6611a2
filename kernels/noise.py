"""How noisy a frame is."""

from __future__ import annotations

from kernels.backend import Array, backend_of, to_host
from kernels.checks import check_frame


def noise(frame: Array, /) -> float:
    """Estimate the standard deviation of additive white noise, in the units of `frame`.

    The mean magnitude of a filter that takes planes and edges away, scaled so that Gaussian noise
    gives its sigma (Immerkaer 1996, Fast Noise Variance Estimation, eq. 5). `frame`: (rows,
    columns), any integer or float dtype; one with fewer than three rows or columns has 0. Texture
    counts as noise. Waits for the device. Raises KernelInputError for NaN or infinity.
    """
    check_frame(frame)
    return float(to_host(backend_of(frame).noise(frame)))  # synchronize
