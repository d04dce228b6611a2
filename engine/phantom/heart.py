"""The heart's geometry, its motion, and the volumes that follow from it exactly.

The cavity is half an ellipsoid of revolution, cut at the base, with an in-plane outline that is not
quite round. It contracts in the plane only: at contraction c the area of every slice is
`1 - ejection_fraction/100 * c` of its end-diastolic area. So the volume by slices (area x
distance, the disc summation method) follows the wanted ejection fraction but for the rounding of
areas to pixels, and the truth is counted from the masks themselves. The myocardium keeps its
volume: the wall thickens as the cavity shrinks.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from engine.phantom import scene

LENGTH_MM = 120.0  # covered by all slices together
END_SYSTOLE = 0.36  # of the cardiac cycle
MM3_PER_ML = 1000.0

Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Phantom:
    """A cine short-axis stack: `slices` from base to apex, `phases` over one heartbeat.

    `ejection_fraction` is in percent, 0 to 85. `seed` varies size, position, orientation,
    contrast, coil and noise; the same arguments give the same pixels. `papillary` draws papillary
    muscles; the mask counts them as cavity, as the contours of the Sunnybrook data do.
    Raises `ValueError` naming the argument that cannot be used.
    """

    ejection_fraction: float = 55.0
    slices: int = 12
    phases: int = 20
    seed: int = 0
    papillary: bool = True
    noise: float = 1.0
    size: int = 256
    anatomy: scene.Anatomy = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not 0 <= self.ejection_fraction <= 85:
            raise ValueError("`ejection_fraction` is in percent, from 0 to 85")
        if self.slices < 3 or self.phases < 2:
            raise ValueError("`slices` must be at least 3 and `phases` at least 2")
        if self.size < 128 or self.noise < 0:
            raise ValueError("`size` must be at least 128 pixels and `noise` not negative")
        object.__setattr__(self, "anatomy", scene.Anatomy.drawn(self.seed, self.size))

    @property
    def spacing_mm(self) -> float:
        """Distance between the centres of two pixels, the same for rows and columns."""
        return self.anatomy.spacing_mm * 256 / self.size

    @property
    def slice_distance_mm(self) -> float:
        """Distance between two slices along their normal."""
        return LENGTH_MM / self.slices

    def contraction(self, phase: int) -> float:
        """Return 0 at end diastole (phase 0), 1 at end systole, between them otherwise."""
        systole = max(1, round(END_SYSTOLE * self.phases))
        if phase <= systole:
            return float((1 - np.cos(np.pi * phase / systole)) / 2)
        rest = (phase - systole) / (self.phases - systole)
        return float((1 + np.cos(np.pi * rest**0.75)) / 2)

    def geometry(self, index: int, phase: int) -> scene.Section:
        """Return the heart's cut at slice `index` and `phase`, lengths in mm."""
        depth = (index - 0.75) * self.slice_distance_mm  # below the base
        shrink = 1 - self.ejection_fraction / 100 * self.contraction(phase)
        return self.anatomy.section(depth, shrink)

    def mask(self, index: int, phase: int, *, margin: float = 0.0) -> NDArray[np.uint8]:
        """Return the cavity of one frame, and `margin` pixels around it: uint8, 1 inside."""
        distance = self._canvas.cavity_distance(self.geometry(index, phase))
        return (distance < margin * self.spacing_mm).astype(np.uint8)

    def image(self, index: int, phase: int) -> NDArray[np.int16]:
        """Return one frame as a scanner stores it: int16 (rows, columns), 0 to about 1500."""
        stream = np.random.default_rng((self.seed, 1, index, phase))
        clean = self._canvas.render(self.geometry(index, phase), index, papillary=self.papillary)
        return self._canvas.acquire(clean, stream, self.noise)

    @cached_property
    def images(self) -> NDArray[np.int16]:
        """All frames, int16 (slices, phases, rows, columns)."""
        return np.stack(
            [[self.image(s, p) for p in range(self.phases)] for s in range(self.slices)]
        )

    @cached_property
    def masks(self) -> NDArray[np.uint8]:
        """All cavities, uint8 (slices, phases, rows, columns)."""
        return np.stack([[self.mask(s, p) for p in range(self.phases)] for s in range(self.slices)])

    @cached_property
    def volumes_ml(self) -> tuple[float, ...]:
        """The true volume of the cavity at each phase, by slices: area x distance."""
        voxel_ml = self.spacing_mm**2 * self.slice_distance_mm / MM3_PER_ML
        pixels = self.masks.sum(axis=(0, 2, 3), dtype=np.int64)
        return tuple(float(count * voxel_ml) for count in pixels)

    @property
    def true_ejection_fraction(self) -> float:
        """Percent, from the largest and the smallest of `volumes_ml`."""
        largest, smallest = max(self.volumes_ml), min(self.volumes_ml)
        return 100 * (largest - smallest) / largest

    @cached_property
    def _canvas(self) -> scene.Canvas:
        return scene.Canvas(self.anatomy, self.seed, self.size)
