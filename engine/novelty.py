"""How far a frame lies outside the range that a model was trained on.

The range travels with the model, as a parameter of its configuration: without one, no score.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from engine.errors import ConfigError

OUT_OF_DISTRIBUTION: Final = "out-of-distribution"  # the quality flag, and the alert
SCORE_DIGITS = 3
_PAIR = "two numbers [LOW, HIGH]"


@dataclass(frozen=True, slots=True)
class Range:
    """Lowest and highest value of each feature in training, by its name in `postprocess.features`.

    Raises `ConfigError` for a bound that is not finite or a feature without a width.
    """

    bounds: Mapping[str, tuple[float, float]]

    def __post_init__(self) -> None:
        for name, (low, high) in self.bounds.items():
            if not (math.isfinite(low) and math.isfinite(high) and low < high):
                raise ConfigError(f"the trained range of {name} is not {_PAIR} with LOW below HIGH")

    @classmethod
    def parse(cls, text: str) -> Range:
        """Read `{"FEATURE": [LOW, HIGH], ...}`; raise `ConfigError` naming what is wrong."""
        try:
            found = json.loads(text, parse_int=float)
        except ValueError as error:
            raise ConfigError(f"the trained range is no JSON: {error}") from None
        if not isinstance(found, dict) or not found:
            raise ConfigError('the trained range is not {"FEATURE": [LOW, HIGH], ...}')
        return cls({name: _pair(name, pair) for name, pair in found.items()})

    def __str__(self) -> str:
        """Return what `parse` reads."""
        return json.dumps({name: list(pair) for name, pair in self.bounds.items()})


def score(features: Mapping[str, float], trained: Range) -> float:
    """Return 0 inside every bound, else the largest excess in units of that bound's width.

    A feature that the frame has not (the confidence of an empty mask), or the range has not, does
    not count. Rounded to three digits, so that what is shown as 0 is inside.
    """
    excess = 0.0
    for name, (low, high) in trained.bounds.items():
        if name in features:
            value = features[name]
            excess = max(excess, (low - value) / (high - low), (value - high) / (high - low))
    return round(excess, SCORE_DIGITS)


def _pair(name: str, pair: Any) -> tuple[float, float]:
    if not isinstance(pair, list) or [type(one) for one in pair] != [float, float]:
        raise ConfigError(f"the trained range of {name} is not {_PAIR}")
    return float(pair[0]), float(pair[1])
