"""Draw crops from enhanced pictures and vary them as scanners and people do."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from engine.training.net import scale


@dataclass(frozen=True, kw_only=True)
class Ranges:
    """How far a crop is varied; standard deviations unless said otherwise."""

    crop: int = 160  # side in pixels; 256 is the whole picture
    elsewhere: float = 0.35  # share of crops that lie anywhere, not at the heart
    jitter: float = 36.0  # pixels, uniform
    rotation: float = 0.5  # radians
    zoom: float = 0.18  # of the logarithm
    shrink: float = 0.06  # mean of that logarithm: small cavities are rare, and hard
    stretch: float = 0.06  # of the logarithm, one axis against the other
    bend: float = 3.0  # pixels, at the knots of a coarse grid (elastic deformation)
    knots: int = 5  # of that grid, a side
    squeeze: float = 0.5  # chance that a cavity is made smaller or larger within its wall
    flip: float = 0.25  # chance, for each axis
    gamma: float = 0.25  # of the logarithm
    contrast: float = 0.15  # of the logarithm
    brightness: float = 0.2  # in standard deviations of the picture
    coil: float = 0.2  # of the logarithm, a smooth field: how a surface coil lights a picture
    gain: float = 0.2  # of the logarithm
    bias: float = 0.1  # in standard deviations of the picture, a smooth field that is added
    noise: float = 0.12  # likewise, uniform from 0
    blur: float = 0.25  # chance


def centres(masks: Tensor) -> Tensor:
    """Return each mask's centroid (x, y) in pixels; the picture's centre where it is empty."""
    count, rows, columns = masks.shape
    found = torch.tensor([[columns / 2, rows / 2]]).repeat(count, 1)
    for k in range(count):
        inside = masks[k].nonzero().float()
        if len(inside):
            found[k] = inside.mean(dim=0).flip(0)
    return found


def draw(
    images: Tensor, masks: Tensor, hearts: Tensor, ranges: Ranges, rng: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return one varied crop of each picture.

    `images`, `masks`: uint8 [B, 256, 256]; `hearts`: float32 [B, 2], (x, y). Returns the net's
    input and the mask, both float32 [B, 1, crop, crop].
    """
    grid = _grid(hearts, images.shape[-1], ranges, rng)
    x = functional.grid_sample(
        images[:, None].float(), grid, padding_mode="border", align_corners=False
    )
    y = functional.grid_sample(masks[:, None].float(), grid, align_corners=False)
    return _vary(x, ranges, rng), (y >= 0.5).float()


def _grid(hearts: Tensor, side: int, ranges: Ranges, rng: torch.Generator) -> Tensor:
    """Return where each pixel of each crop comes from, in grid_sample's coordinates."""
    count = len(hearts)
    crop = ranges.crop
    if crop >= side:  # the whole picture: what lies far from the heart is to be seen too
        hearts = torch.full_like(hearts, side / 2)
    near = hearts + (torch.rand(count, 2, generator=rng) * 2 - 1) * ranges.jitter
    free = torch.rand(count, 2, generator=rng) * (side - crop / 2) + crop / 4
    anywhere = torch.rand(count, 1, generator=rng) < ranges.elsewhere * (crop < side)
    centre = torch.where(anywhere, free, near)
    turn = torch.randn(count, generator=rng) * ranges.rotation
    zoom = torch.exp(torch.randn(count, generator=rng) * ranges.zoom + ranges.shrink)
    stretch = torch.exp(torch.randn(count, generator=rng) * ranges.stretch)
    sign = 1 - 2 * (torch.rand(count, 2, generator=rng) < ranges.flip).float()
    scales = sign * torch.stack((zoom * stretch, zoom / stretch), dim=1)
    cos, sin = torch.cos(turn), torch.sin(turn)
    matrix = torch.stack((cos, -sin, sin, cos), dim=1).view(count, 2, 2) * scales[:, None, :]
    steps = torch.arange(crop) - (crop - 1) / 2
    offsets = torch.stack(torch.meshgrid(steps, steps, indexing="xy"), dim=-1)
    pixels = torch.einsum("bij,hwj->bhwi", matrix, offsets) + centre[:, None, None]
    bent = torch.randn(count, 2, ranges.knots, ranges.knots, generator=rng) * ranges.bend
    pixels = pixels + _smooth(bent, crop).permute(0, 2, 3, 1)
    pixels = pixels + _squeezed(pixels - hearts[:, None, None], ranges, rng)
    return (2 * pixels + 1) / side - 1


def _squeezed(offsets: Tensor, ranges: Ranges, rng: torch.Generator) -> Tensor:
    """Return a shift along the radius, as a beat's: what is near the heart's centre comes from
    further out or further in, what is far stays.

    The cavity shrinks and the wall thickens: nearly closed cavities are rare, and hard.
    """
    count = len(offsets)
    reach = 20 + 25 * torch.rand(count, 1, 1, 1, generator=rng)  # pixels
    amount = 0.9 * torch.rand(count, 1, 1, 1, generator=rng) - 0.25  # above -1: no fold
    chosen = torch.rand(count, 1, 1, 1, generator=rng) < ranges.squeeze
    near = torch.exp(-(offsets**2).sum(dim=-1, keepdim=True) / reach**2)
    return offsets * amount * near * chosen


def _smooth(knots: Tensor, side: int) -> Tensor:
    return functional.interpolate(knots, size=(side, side), mode="bicubic", align_corners=True)


def _vary(x: Tensor, ranges: Ranges, rng: torch.Generator) -> Tensor:
    """Vary grey values: gamma, contrast, brightness, a bias field, blur, noise."""
    count = len(x)

    def normal(spread: float, *shape: int) -> Tensor:
        return torch.randn(count, 1, *(shape or (1, 1)), generator=rng) * spread

    lit = torch.exp(normal(ranges.gain) + _smooth(normal(ranges.coil, 4, 4), ranges.crop))
    black = x.amin(dim=(2, 3), keepdim=True)  # the coil lights signal, not what has none
    tone = ((x - black) / (256 - black) * lit) ** torch.exp(normal(ranges.gamma))
    x = scale(black + tone * (256 - black)) * torch.exp(normal(ranges.contrast)) + normal(
        ranges.brightness
    )
    x = x + _smooth(normal(ranges.bias, 4, 4), ranges.crop)
    blurred = (torch.rand(count, 1, 1, 1, generator=rng) < ranges.blur).float()
    share = blurred * torch.rand(count, 1, 1, 1, generator=rng)
    x = torch.lerp(x, functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False), share)
    noise = torch.rand(count, 1, 1, 1, generator=rng) * ranges.noise * math.sqrt(3)
    return x + torch.randn(x.shape, generator=rng) * noise
