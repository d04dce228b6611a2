"""First-order statistics: what the histogram of a region says."""

from __future__ import annotations

from kernels.backend import Array, backend_of, to_host
from kernels.checks import check_frame, check_inside, check_levels, check_region

NAMES = (
    *("mean", "std", "min", "max", "p10", "p25", "median", "p75", "p90"),
    *("skewness", "kurtosis", "entropy"),
)


def first_order(frame: Array, mask: Array | None = None, /, *, bins: int = 32) -> dict[str, float]:
    """Return statistics of the values where `mask` is above 0, or of the whole frame.

    `frame`: (rows, columns), any integer or float dtype; `mask`: uint8 or bool of the same shape,
    with a pixel inside. In the units of `frame`: `mean`, `std` (of the population), `min`, `max`,
    and the percentiles `p10`, `p25`, `median`, `p75`, `p90`, linear between ranks
    (numpy.percentile). Without a unit: `skewness` (IBSI KE2M), `kurtosis` (excess, IBSI IPH6;
    pyradiomics adds 3) and `entropy` in bits of the values in `bins` equal bins from the region's
    minimum to its maximum (IBSI TLU2 of a fixed bin number). A region of one value has 0 for
    these three. Definitions: Zwanenburg 2020, The Image Biomarker Standardization Initiative;
    pyradiomics uses the same but where said. Waits for the device. Raises KernelInputError for
    NaN or infinity anywhere, an empty mask, and `bins` outside [2, 65536].
    """
    check_frame(frame)
    check_levels(bins, "bins", 65536)
    mask = check_region(frame, mask)
    values = backend_of(frame).first_order(frame, mask, bins)
    count, *found = to_host(values).tolist()  # synchronize
    check_inside(count)
    return dict(zip(NAMES, found, strict=True))
