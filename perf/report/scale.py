"""Where a value lies along an axis, and which values an axis names."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

STEPS = (1, 2, 5, 10)
DECADES_WITH_STEPS = 2.5  # a longer axis names the powers of ten only


@dataclass(frozen=True, slots=True)
class Scale:
    """An axis from `low` to `high`, both above zero where it is logarithmic."""

    low: float
    high: float
    log: bool = False

    @classmethod
    def linear(cls, values: Iterable[float], *, ticks: int = 5) -> Scale:
        """Return an axis from zero to a round number at or above all values."""
        top = max(values, default=0.0) or 1.0
        step = _step(top / ticks)
        return cls(0.0, math.ceil(round(top / step, 9)) * step)

    @classmethod
    def logarithmic(cls, values: Iterable[float]) -> Scale:
        """Return an axis over all values above zero, its ends at 1, 2 or 5 times a power of ten."""
        found = [value for value in values if value > 0] or [1.0]
        low, high = _below(min(found)), _above(max(found))
        return cls(low, high if high > low else 10 * low, log=True)

    def at(self, value: float) -> float:
        """Return how far along the axis a value lies: 0 at `low`, 1 at `high`, never outside."""
        if self.log:
            share = math.log(max(value, self.low) / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return min(1.0, max(0.0, share))

    def ticks(self, count: int = 5) -> Sequence[float]:
        """Return the values that the axis names, ascending."""
        if self.log:
            return self._log_ticks()
        step = _step((self.high - self.low) / count)
        return [self.low + n * step for n in range(round((self.high - self.low) / step) + 1)]

    def _log_ticks(self) -> Sequence[float]:
        first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
        decades = math.log10(self.high / self.low)
        steps = STEPS[:3] if decades <= DECADES_WITH_STEPS else STEPS[:1]
        every = max(1, round(decades / 8))
        found = [step * 10.0**n for n in range(first, last + 1, every) for step in steps]
        return [one for one in found if self.low * 0.999 <= one <= self.high * 1.001]


def _step(rough: float) -> float:
    """Return the least of 1, 2, 5 times a power of ten that is not below `rough`."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next(step * power for step in STEPS if step * power >= rough * 0.999999)


def _below(value: float) -> float:
    power = 10.0 ** math.floor(math.log10(value))
    return max(step * power for step in STEPS if step * power <= value * 1.000001)


def _above(value: float) -> float:
    return _step(value)
