"""The size and form of a mask."""

from __future__ import annotations

import math

from kernels.backend import Array, backend_of, to_host
from kernels.checks import check_inside, check_mask
from kernels.errors import KernelInputError

# A step of the outline along an edge, across a corner, or one of each (Benkrid & Crookes).
_STEPS = (1.0, math.sqrt(2), (1 + math.sqrt(2)) / 2)


def shape(mask: Array, /, *, spacing: tuple[float, float] = (1.0, 1.0)) -> dict[str, float]:
    """Measure the pixels above 0, all together: pieces are not told apart.

    `mask`: uint8 or bool, (rows, columns), with a pixel inside. `spacing`: between rows and between
    columns, mm (PixelSpacing (0028,0030)); the default measures in pixels.

    - `area`: pixels times the area of one, mm²
    - `perimeter`: the length of the line through the centres of the border pixels, mm: Benkrid
      and Crookes' estimate, skimage.measure.perimeter with 4 neighbours; 0 for a single pixel. For
      a pixel that is not square its side is the root of its area: an approximation.
    - `circularity`: 4 pi area / perimeter^2; about 1 for a disc. The line runs inside the border,
      so a few pixels have far more than 1; 0 where the perimeter is 0
    - `major_axis`, `minor_axis`: of the ellipse with the same second moments, mm
    - `eccentricity`: of that ellipse, in [0, 1); 0 for a circle and for a single pixel
    - `orientation`: of its major axis to the direction of the rows' index (downwards), radians in
      [-pi/2, pi/2], positive towards the columns' index; 0 where the axes are equal

    Axes, eccentricity and orientation are those of skimage.measure.regionprops (which says -pi/4
    where the axes are equal). Waits for the device. Raises KernelInputError for another dtype or
    shape, an empty mask, and a spacing that is not positive and finite.
    """
    mask = check_mask(mask)
    if len(spacing) != 2 or not all(0 < step < math.inf for step in spacing):
        raise KernelInputError(f"`spacing` must be two lengths above 0, got {spacing}")
    area, *sums = to_host(backend_of(mask).shape(mask)).tolist()  # synchronize
    check_inside(area)
    pixel = spacing[0] * spacing[1]
    steps = sum(length * count for length, count in zip(_STEPS, sums[5:], strict=True))
    around = math.sqrt(pixel) * steps
    return {
        "area": area * pixel,
        "perimeter": around,
        "circularity": 4 * math.pi * area / steps**2 if steps else 0.0,
        **_ellipse(area, sums[:5], spacing),
    }


def _ellipse(area: int, sums: list[int], spacing: tuple[float, float]) -> dict[str, float]:
    """Return the ellipse of the sums of y, x, y², x² and xy over the region's pixels."""
    y, x, yy, xx, xy = sums
    # exact in integers: the difference of two large sums loses nothing
    down = (area * yy - y * y) / area**2 * spacing[0] ** 2
    along = (area * xx - x * x) / area**2 * spacing[1] ** 2
    both = (area * xy - x * y) / area**2 * spacing[0] * spacing[1]
    apart = math.hypot(down - along, 2 * both)
    major = (down + along + apart) / 2
    minor = max((down + along - apart) / 2, 0.0)
    return {
        "major_axis": 4 * math.sqrt(major),
        "minor_axis": 4 * math.sqrt(minor),
        "eccentricity": math.sqrt(1 - minor / major) if major else 0.0,
        "orientation": 0.5 * math.atan2(2 * both, down - along),
    }
