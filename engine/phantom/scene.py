"""Draw a short-axis section of the chest as balanced steady-state cine MR shows it.

Blood and fat are bright, muscle dark, lung nearly black; the surface coil brightens what is near
the chest wall; noise is Rician (Gudbjartsson 1995), since a scanner stores magnitudes.
Lengths are mm, angles radians, the frame (0, 0) is the heart's long axis.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

BLOOD, MUSCLE, FAT, LUNG, LIVER = 430.0, 105.0, 480.0, 14.0, 150.0
TOP = 1500.0


@dataclass(frozen=True, kw_only=True)
class Section:
    """One cut through the heart. Radii in mm; zero means that the cut misses the chamber."""

    depth: float
    cavity: float
    epicardium: float
    right: float
    shrink: float


@dataclass(frozen=True, kw_only=True)
class Anatomy:
    """What one seed decides about a person and a scanner."""

    spacing_mm: float
    centre: tuple[float, float]
    septum: float
    base_radius: float
    length: float
    wall: float
    outline: tuple[tuple[int, float, float], ...]
    right_ventricle: float
    chest: float
    gains: dict[str, float]
    noise: float
    view_radius: float | None

    @classmethod
    def drawn(cls, seed: int, size: int) -> Anatomy:
        """Draw from the ranges that the slices of adults show."""
        rng = np.random.default_rng((seed, 0))
        length = float(rng.uniform(82, 98))
        volume = float(rng.uniform(95, 260)) * 1000
        gains = {name: float(rng.uniform(0.75, 1.3)) for name in ("muscle", "fat", "lung", "liver")}
        gains["blood"] = float(rng.uniform(0.85, 1.2))
        gains["coil"] = float(rng.uniform(0.5, 1.6))
        return cls(
            spacing_mm=float(rng.uniform(1.3, 1.5)),
            centre=(float(rng.normal(0, 7)), float(rng.normal(0, 7))),
            septum=float(rng.normal(np.radians(195), 0.35)),
            base_radius=float(np.sqrt(1.5 * volume / (np.pi * length))),
            length=length,
            wall=float(rng.uniform(7.0, 13.0)),
            outline=tuple(
                (order, float(rng.normal(0, spread)), float(rng.uniform(0, 2 * np.pi)))
                for order, spread in ((2, 0.05), (3, 0.02), (5, 0.008))
            ),
            right_ventricle=float(rng.uniform(0.85, 1.25)),
            chest=float(rng.normal(np.radians(225), 0.3)),
            gains=gains,
            noise=float(rng.uniform(4, 14)),
            view_radius=float(rng.uniform(132, 150)) if rng.random() < 0.4 else None,
        )

    def section(self, depth: float, shrink: float) -> Section:
        """Cut at `depth` mm below the base; the cavity's area is `shrink` of end diastole."""
        diastole = self._half_ellipsoid(depth, self.base_radius, self.length)
        outer = self._half_ellipsoid(depth, self.base_radius + self.wall, self.length + self.wall)
        cavity = diastole * float(np.sqrt(shrink))
        right = self._half_ellipsoid(depth, self.base_radius, 0.82 * self.length)
        return Section(
            depth=depth,
            cavity=cavity,
            epicardium=float(np.sqrt(outer**2 - diastole**2 + cavity**2)),
            right=right * self.right_ventricle * float(np.sqrt(0.35 + 0.65 * shrink)),
            shrink=shrink,
        )

    @staticmethod
    def _half_ellipsoid(depth: float, radius: float, length: float) -> float:
        if depth < 0 or depth >= length:
            return 0.0
        return radius * float(np.sqrt(1 - (depth / length) ** 2))


def _single(values: NDArray[Any]) -> Floats:
    """Return `values` as float32, without a copy where they are."""
    return np.asarray(values, np.float32)


class Canvas:
    """Draws the sections of one phantom on a square grid of `size` pixels."""

    def __init__(self, anatomy: Anatomy, seed: int, size: int) -> None:
        self.anatomy = anatomy
        self.seed = seed
        spacing = anatomy.spacing_mm * 256 / size
        self.blur_mm = 0.75 * spacing  # partial volume at an edge
        steps = (np.arange(size, dtype=np.float32) - size / 2 + 0.5) * np.float32(spacing)
        self.view_y, self.view_x = np.meshgrid(steps, steps, indexing="ij")
        self.x = self.view_x - np.float32(anatomy.centre[0])
        self.y = self.view_y - np.float32(anatomy.centre[1])
        self.angle = np.arctan2(self.y, self.x)
        self.radius = np.hypot(self.x, self.y)
        self._backgrounds: dict[int, Floats] = {}

    @cached_property
    def outline(self) -> Floats:
        """Radius of the cavity's outline over that of the circle of the same area."""
        around = np.ones_like(self.angle)
        power = 1.0
        for order, height, turn in self.anatomy.outline:
            around += np.float32(height) * np.cos(order * self.angle - np.float32(turn))
            power += height**2 / 2
        return _single(around / np.float32(np.sqrt(power)))

    def cavity_distance(self, section: Section) -> Floats:
        """Return mm outside the cavity, negative inside; positive everywhere if there is none."""
        if section.cavity <= 0:
            return np.full_like(self.radius, 1e3)
        return _single(self.radius - np.float32(section.cavity) * self.outline)

    def render(self, section: Section, index: int, *, papillary: bool) -> Floats:
        """Return the noiseless picture of one frame, float32 (rows, columns)."""
        picture = _single(self._background(index).copy())
        gains, texture = self.anatomy.gains, self._texture(index, 7, 5.0)
        blood = BLOOD * gains["blood"] * (1 + 0.07 * texture)
        muscle = MUSCLE * gains["muscle"] * (1 + 0.12 * texture)
        if section.epicardium <= 0:
            if section.depth < 0:
                self._draw_vessels(picture, blood, muscle)
            return self._lit(picture)
        outer = self.radius - np.float32(section.epicardium) * (1 + 0.6 * (self.outline - 1))
        right = self._right_distance(section)
        self._paint(picture, np.minimum(outer, right) - 5.0, 0.55 * FAT * gains["fat"])
        self._paint(picture, right - 2.5, muscle)
        self._paint(picture, right, blood)
        self._paint(picture, outer, muscle)
        inside = self.cavity_distance(section)
        self._paint(picture, inside, blood)
        if papillary and section.cavity > 9:
            self._draw_papillary(picture, section, muscle, inside)
        return self._lit(picture)

    def acquire(self, clean: Floats, rng: np.random.Generator, noise: float) -> NDArray[np.int16]:
        """Return the magnitude picture: Rician noise, the reconstructed view, int16."""
        sigma = np.float32(self.anatomy.noise * noise)
        real = clean + sigma * rng.standard_normal(clean.shape, dtype=np.float32)
        imaginary = sigma * rng.standard_normal(clean.shape, dtype=np.float32)
        stored = np.hypot(real, imaginary)
        if self.anatomy.view_radius is not None:
            stored[np.hypot(self.view_x, self.view_y) > self.anatomy.view_radius] = 0
        whole: NDArray[np.int16] = np.clip(np.rint(stored), 0, TOP).astype(np.int16)
        return whole

    def _paint(self, picture: Floats, distance: Floats, value: NDArray[Any] | float) -> None:
        """Blend `value` into `picture` where `distance` (mm) is negative, softly at the edge."""
        share = np.clip(0.5 - distance / np.float32(2 * self.blur_mm), 0, 1)
        picture += share * (value - picture)

    def _right_distance(self, section: Section) -> Floats:
        """Return mm outside the right ventricle, an ellipse; the left one cuts it to a crescent."""
        if section.right <= 3:
            return np.full_like(self.radius, 1e3)
        along, across = 1.45 * section.right, 0.95 * section.right
        reach = section.epicardium + 0.22 * section.right
        return self._ellipse(self.anatomy.septum, reach, (across, along))

    def _ellipse(self, turn: float, reach: float, axes: tuple[float, float]) -> Floats:
        """Return about mm outside an ellipse centred `reach` mm from the heart's axis."""
        cos, sin = np.float32(np.cos(turn)), np.float32(np.sin(turn))
        u = self.x * cos + self.y * sin - np.float32(reach)
        v = self.y * cos - self.x * sin
        scaled = np.hypot(u / np.float32(axes[0]), v / np.float32(axes[1]))
        return _single((scaled - 1) * np.float32(min(axes)))

    def _draw_papillary(
        self, picture: Floats, section: Section, muscle: Floats, inside: Floats
    ) -> None:
        """Draw two papillary muscles near the free wall, closer together in systole."""
        size = 0.16 * self.anatomy.base_radius * (0.6 + 0.4 * section.shrink)
        for turn in (1.9, -1.9):
            reach = max(section.cavity - 1.25 * size, 0.0)
            spot = self._ellipse(self.anatomy.septum + turn, reach, (size, 1.2 * size))
            self._paint(picture, np.maximum(spot, inside), 1.5 * muscle)

    def _draw_vessels(self, picture: Floats, blood: Floats, muscle: Floats) -> None:
        """Above the base there is no ventricle: the great vessels, bright with a thin wall."""
        for turn, reach, size in ((2.6, 17.0, 13.0), (0.3, 15.0, 12.0)):
            vessel = self._ellipse(self.anatomy.septum + turn, reach, (size, 1.15 * size))
            self._paint(picture, vessel - 2.0, muscle)
            self._paint(picture, vessel, blood)

    def _lit(self, picture: Floats) -> Floats:
        """Multiply by the sensitivity of the surface coil, which falls off from the chest wall."""
        cos, sin = np.float32(np.cos(self.anatomy.chest)), np.float32(np.sin(self.anatomy.chest))
        nearness = (self.x * cos + self.y * sin) / np.float32(100.0)
        return _single(picture * np.exp(np.float32(self.anatomy.gains["coil"]) * nearness))

    def _texture(self, index: int, kind: int, cells: float) -> Floats:
        """Return smooth noise of mean 0 and variance 1 with a correlation length of `cells` mm."""
        rng = np.random.default_rng((self.seed, 2, index, kind))
        white = rng.standard_normal(self.x.shape, dtype=np.float32)
        size = self.x.shape[0]
        spacing = float(self.view_x[0, 1] - self.view_x[0, 0])
        rows = np.fft.fftfreq(size, spacing)[:, None]
        columns = np.fft.rfftfreq(size, spacing)[None, :]
        smooth = np.exp(-2 * (np.pi * cells) ** 2 * (rows**2 + columns**2))
        found = np.fft.irfft2(np.fft.rfft2(white) * smooth, s=self.x.shape)
        return _single(found / found.std())

    def _background(self, index: int) -> Floats:
        """Return everything but the heart; the same at all phases of a slice."""
        if index not in self._backgrounds:
            self._backgrounds[index] = self._draw_background(index)
        return self._backgrounds[index]

    def _draw_background(self, index: int) -> Floats:
        anatomy, gains = self.anatomy, self.anatomy.gains
        fine, coarse = self._texture(index, 3, 2.5), self._texture(index, 4, 9.0)
        shape = 6 * self._texture(0, 5, 28.0)  # the same in all slices, as organs are
        picture: Floats = np.zeros(self.x.shape, np.float32)
        cos, sin = np.float32(np.cos(anatomy.chest)), np.float32(np.sin(anatomy.chest))
        front = self.x * cos + self.y * sin  # mm from the heart towards the chest wall
        side = self.y * cos - self.x * sin
        skin = front - 88 + side**2 / 190 + shape
        self._paint(picture, skin, FAT * gains["fat"] * (1 + 0.10 * fine))
        self._paint(picture, skin + 17 + 0.5 * shape, MUSCLE * gains["muscle"] * (1 + 0.5 * coarse))
        lung = skin + 31 + 0.5 * shape
        self._paint(picture, lung, LUNG * gains["lung"] * (1 + 0.4 * fine))
        turn = anatomy.septum - 1.75  # the liver and the stomach lie under the heart
        liver = self._ellipse(turn, 98 - 2.5 * index, (62, 96)) + shape
        self._paint(picture, liver - 4, 0.6 * FAT * gains["fat"])
        self._paint(picture, liver, LIVER * gains["liver"] * (1 + 0.12 * fine + 0.1 * coarse))
        veins = np.where(fine > 1.9, 1.9 - fine, 1.0) * 6 + np.maximum(liver + 12, 0)
        self._paint(picture, _single(veins), 0.75 * BLOOD * gains["blood"])
        self._draw_spots(picture, index, lung)
        mediastinum = np.maximum(self._ellipse(anatomy.septum, 45, (50, 42)) + 1.5 * shape, lung)
        uneven = _single(np.clip(1 + 0.6 * coarse, 0, 2))
        self._paint(picture, mediastinum, 0.4 * FAT * gains["fat"] * uneven)
        return picture

    def _draw_spots(self, picture: Floats, index: int, lung: Floats) -> None:
        """Draw vessels of the lung and the descending aorta: bright and round, but no heart."""
        rng = np.random.default_rng((self.seed, 6))
        for _ in range(14):
            turn, reach = rng.uniform(0, 2 * np.pi), rng.uniform(55, 110)
            size, gain = rng.uniform(1.5, 4.5), rng.uniform(0.2, 0.9)
            drift = rng.normal(0, 1.5) * index
            spot = self._ellipse(float(turn), float(reach + drift), (float(size), float(size)))
            self._paint(picture, np.maximum(spot, lung), float(gain) * BLOOD)
        aorta = self._ellipse(self.anatomy.septum + 2.2, 72, (10, 11))
        self._paint(picture, aorta - 2, MUSCLE)
        self._paint(picture, aorta, BLOOD * self.anatomy.gains["blood"])
