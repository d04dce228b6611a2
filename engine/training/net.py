"""The U-Net (Ronneberger 2015, arXiv 1505.04597) and the form in which it is served."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

LEVELS = 5
WIDTH = 16
PATCH = 2
MEAN = 127.5  # `kernels.normalise` puts a picture's mean here,
SCALE = 127.5 / 4  # and one standard deviation this far from it
SIDE = 256
# A short-axis stack is planned around the heart: in training no pixel of a cavity lies further than
# 49 pixels from the picture's centre. What an arm or a kidney resembles beyond this does not count.
NEAR, FADE = 68.0, 10.0  # pixels


def _block(inputs: int, outputs: int) -> nn.Sequential:
    """Two 3x3 convolutions, each followed by batch normalisation and ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
        nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class UNet(nn.Module):  # type: ignore[misc]
    """Map float32 [N, 1, H, W], mean 0 and variance about 1, to logits [N, 1, H, W].

    Squares of `patch` x `patch` pixels become channels before the first level, and pixels again
    after the last (space to depth and back, arXiv 1609.05158); 1 is the plain U-Net. Level k has
    `width * 2**k` channels. H and W are multiples of `patch * 2**(levels - 1)`.
    """

    def __init__(self, width: int = WIDTH, levels: int = LEVELS, patch: int = PATCH) -> None:
        super().__init__()
        self.width, self.levels, self.patch = width, levels, patch
        channels = [width * 2**level for level in range(levels)]
        self.down = nn.ModuleList(
            _block(inputs, outputs)
            for inputs, outputs in zip([patch**2, *channels[:-1]], channels, strict=True)
        )
        self.widen = nn.ModuleList(
            nn.ConvTranspose2d(2 * c, c, 2, stride=2) for c in reversed(channels[:-1])
        )
        self.up = nn.ModuleList(_block(2 * c, c) for c in reversed(channels[:-1]))
        self.head = nn.Conv2d(width, patch**2, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of the cavity."""
        x = functional.pixel_unshuffle(x, self.patch)
        skips: list[Tensor] = []
        for block in self.down:
            x = block(functional.max_pool2d(x, 2) if skips else x)
            skips.append(x)
        skips.pop()
        for widen, block in zip(self.widen, self.up, strict=True):
            x = block(torch.cat((skips.pop(), widen(x)), dim=1))
        return functional.pixel_shuffle(self.head(x), self.patch)


def scale(image: Tensor) -> Tensor:
    """Turn a served picture, uint8, into what the net takes: float32, centred."""
    return (image.float() - MEAN) / SCALE


def place(side: int) -> Tensor:
    """Return what is added to the logits, float32 [side, side]: 0 near the centre, then falling."""
    steps = torch.arange(side) - (side - 1) / 2
    beyond = (torch.hypot(steps[:, None], steps) - NEAR).clamp(min=0) / FADE
    return -(beyond**2)


class Served(nn.Module):  # type: ignore[misc]
    """What Triton serves: uint8 [N, 1, 256, 256] in; mask [N, 256, 256], confidence [N, 1] out.

    `confidence` is the mean probability over the mask's pixels, 0 where the mask is empty.
    """

    def __init__(self, net: UNet, threshold: float) -> None:
        super().__init__()
        self.net = net
        self.threshold = threshold
        self.register_buffer("place", place(SIDE))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return `(mask, confidence)`."""
        probability = torch.sigmoid(self.net(scale(image)).squeeze(1) + self.place)
        inside = (probability >= self.threshold).float()
        pixels = inside.sum(dim=(1, 2))
        total = (probability * inside).sum(dim=(1, 2))
        confidence = (total / pixels.clamp(min=1.0)).unsqueeze(1)
        return inside.to(torch.uint8), confidence


def fused(net: UNet) -> UNet:
    """Return a copy for inference, each batch normalisation folded into its convolution."""
    copy = UNet(net.width, net.levels, net.patch)
    copy.load_state_dict(net.state_dict())
    copy.eval()
    for block in (*copy.down, *copy.up):
        for convolution, norm in ((0, 1), (3, 4)):
            block[convolution] = fuse_conv_bn_eval(block[convolution], block[norm])
            block[norm] = nn.Identity()
    return copy
