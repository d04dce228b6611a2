"""Texture: which grey levels lie beside which (Haralick 1973)."""

from __future__ import annotations

import numpy as np

from kernels.backend import Array, backend_of, to_host
from kernels.checks import check_frame, check_inside, check_levels, check_region
from kernels.errors import KernelInputError

MAX_LEVELS = 256


def glcm(
    frame: Array,
    mask: Array | None = None,
    /,
    *,
    levels: int = 32,
    distances: tuple[int, ...] = (1,),
) -> dict[str, float]:
    """Return properties of the region's grey-level co-occurrence matrix.

    `frame`: (rows, columns), any integer or float dtype; `mask`: uint8 or bool of the same shape
    with a pixel inside, None for the whole frame. Values become `levels` equal steps from the
    region's minimum to its maximum. Pairs of pixels inside, `distances` pixels apart along a row,
    a column or a diagonal (Chebyshev distance, as IBSI has it), are counted both ways round into
    one matrix P that sums to 1 (IBSI: directions merged). With levels i and j from 0:

    - `contrast`: sum of P (i - j)^2 (IBSI ACUI)
    - `homogeneity`: sum of P / (1 + (i - j)^2) (IBSI WF0Z, inverse difference moment)
    - `energy`: square root of the sum of P^2 (the root of IBSI 8ZQL)
    - `correlation`: of i and j (IBSI NI2N); 1 where the region has one level
    - `entropy`: -sum of P log2 P, bits (IBSI TU9B)

    These are skimage.feature.graycoprops of the summed matrices of graycomatrix (symmetric), but
    for the entropy, which is in nats there. A region without a pair counts as one of one value.
    Waits for the device. Raises KernelInputError for NaN or infinity anywhere, an empty mask,
    `levels` outside [2, 256] and distances below 1.
    """
    check_frame(frame)
    check_levels(levels, "levels", MAX_LEVELS)
    if not distances or min(distances) < 1:
        raise KernelInputError(f"`distances` must be pixels >= 1, got {distances}")
    mask = check_region(frame, mask)
    # beyond the frame there is no pair; an index would overflow
    reached = tuple(min(distance, max(frame.shape)) for distance in distances)
    counts, inside = backend_of(frame).glcm(frame, mask, levels, reached)
    check_inside(int(to_host(inside)))  # synchronize
    return _properties(to_host(counts))  # synchronize


def _properties(counts: Array) -> dict[str, float]:
    """Return the properties of a (levels, levels) matrix that counts each pair one way round."""
    pairs = int(counts.sum())
    if not pairs:
        counts, pairs = np.eye(1, dtype=np.int64), 1
    shares = (counts + counts.T) / (2 * pairs)
    level = np.arange(len(counts))
    apart = (level[:, None] - level) ** 2
    marginal = shares.sum(axis=0)
    offset = level - level @ marginal
    variance = float(marginal @ offset**2)
    there = shares[shares > 0]
    return {
        "contrast": float((shares * apart).sum()),
        "homogeneity": float((shares / (1 + apart)).sum()),
        "energy": float(np.sqrt((there**2).sum())),
        "correlation": float(offset @ shares @ offset) / variance if variance > 1e-15 else 1.0,
        "entropy": abs(float(there @ np.log2(there))),
    }
