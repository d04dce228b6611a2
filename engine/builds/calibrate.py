"""How large activations get on real pictures: what int8's scales are chosen from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.training.data import Bytes

BINS = 2048
EXACT = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}  # the same bits each time

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Histogram:
    """Of the magnitudes of some tensors' values: `counts` [BINS] from 0 to `top`."""

    counts: NDArray[np.int64]
    top: float
    signed: bool

    def clip(self, levels: int) -> float:
        """Return the magnitude that the highest of `levels` shall stand for.

        The one with the least mean squared error: to clip a few large values costs less than
        coarse steps for all (arXiv 1810.05723).
        """
        centres = (np.arange(BINS) + 0.5) * self.top / BINS
        best, least = self.top, np.inf
        for bins in range(BINS // 8, BINS + 1, BINS // 128):
            step = bins * self.top / BINS / levels
            kept = np.minimum(np.rint(centres / step), levels) * step
            error = float((self.counts * (kept - centres) ** 2).sum())
            if error < least:
                best, least = step * levels, error
        return best


def histograms(
    model: bytes, groups: Sequence[tuple[str, ...]], images: Bytes
) -> dict[tuple[str, ...], Histogram]:
    """Run `images` uint8 [N, 1, 256, 256]; return what each group of tensors holds, together."""
    request = _watched(model, [name for group in groups for name in group])
    tops, lows = dict.fromkeys(groups, 0.0), dict.fromkeys(groups, 0.0)
    for found in _each(request, images):
        for group in groups:
            for values in (found[name] for name in group):
                lows[group] = min(lows[group], float(values.min()))
                tops[group] = max(tops[group], float(values.max()), -lows[group])
    counts = {group: np.zeros(BINS, np.int64) for group in groups}
    for found in _each(request, images):
        for group in groups:
            for name in group:
                counts[group] += _counted(found[name], tops[group])
    return {
        group: Histogram(counts[group], tops[group] or 1.0, signed=lows[group] < 0)
        for group in groups
    }


def _watched(model: bytes, names: list[str]) -> Any:
    """Return a request that also gives the tensors `names`."""
    import openvino

    core = openvino.Core()
    network = core.read_model(model)
    network.add_outputs(names)
    return core.compile_model(network, "CPU", EXACT).create_infer_request()


def _each(request: Any, images: Bytes) -> Any:
    for image in images:
        yield request.infer({"image": image[None]})


def _counted(values: Floats, top: float) -> NDArray[np.int64]:
    if top == 0:
        return np.zeros(BINS, np.int64)
    places = (np.abs(values.ravel()) * np.float32(BINS / top)).astype(np.int32)
    return np.bincount(np.minimum(places, BINS - 1), minlength=BINS)
