"""Routes are data: they match DICOM keywords and name an enhancement chain and a model."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeGuard

import msgspec
from pydicom.datadict import keyword_dict

from engine.errors import ConfigError
from engine.messages import FrameInfo

DEFAULT = Path(__file__).with_name("routes.toml")

# What identifies a person may never travel in a header (PS3.15 table E.1-1, in short).
IDENTIFYING = ("Patient", "Person", "Physician", "Operator", "Address", "Telephone", "Birth")

# What a route may ask to be measured; `engine.postprocess` computes them.
FEATURE_GROUPS = ("first_order", "gradient", "glcm", "shape", "quality")

Value = str | float | list[str | float]


class Range(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Holds for numbers that are `above` and `below` these bounds (both exclusive)."""

    above: float | None = None
    below: float | None = None

    def holds(self, value: object) -> bool:
        """Return whether `value` is a number inside the bounds."""
        if not _is_number(value):
            return False
        over = self.above is None or value > self.above
        return over and (self.below is None or value < self.below)


class Route(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One way for a frame: if every keyword matches, run `chain`, then `model`.

    `features` names the groups of features that its results carry (FEATURE_GROUPS).
    """

    name: str
    match: dict[str, Range | str | float | list[str | float]]
    chain: str
    model: str
    features: list[str] = []

    def takes(self, keywords: Mapping[str, Value]) -> bool:
        """Return whether every condition holds. A keyword that is absent never matches."""
        return all(
            name in keywords and _holds(wanted, keywords[name])
            for name, wanted in self.match.items()
        )


class _File(msgspec.Struct, forbid_unknown_fields=True):
    route: list[Route]


class Routes:
    """The routes in their order; the first that takes a frame wins."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._routes = tuple(routes)
        for route in self._routes:
            for keyword in route.match:
                _check_keyword(route.name, keyword)
            for group in route.features:
                _check_group(route.name, group)

    @classmethod
    def load(cls, path: Path | None = None) -> Routes:
        """Read a routes file (setting `routes`); raise `ConfigError` naming what is wrong."""
        file = path or DEFAULT
        try:
            raw = tomllib.loads(file.read_text())
            return cls(msgspec.convert(raw, _File).route)
        except FileNotFoundError:
            raise ConfigError(f"setting `routes`: {file} does not exist") from None
        except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
            raise ConfigError(f"setting `routes`: {file}: {error}") from None

    @property
    def keywords(self) -> frozenset[str]:
        """The DICOM keywords that the gateway must put into `x-frame` for these routes."""
        return frozenset(keyword for route in self._routes for keyword in route.match)

    @property
    def models(self) -> frozenset[str]:
        """The names of the models that these routes use."""
        return frozenset(route.model for route in self._routes)

    @property
    def features(self) -> frozenset[str]:
        """The groups of features that some of these routes ask for."""
        return frozenset(group for route in self._routes for group in route.features)

    def of(self, info: FrameInfo) -> Route | None:
        """Return the route that takes this frame, or None."""
        return next((route for route in self._routes if route.takes(info.keywords)), None)


def _check_keyword(route: str, keyword: str) -> None:
    if keyword not in keyword_dict:
        raise ConfigError(f"setting `routes`: route {route}: {keyword} is no DICOM keyword")
    if any(part in keyword for part in IDENTIFYING):
        raise ConfigError(f"setting `routes`: route {route}: {keyword} identifies a person")


def _check_group(route: str, group: str) -> None:
    if group not in FEATURE_GROUPS:
        known = ", ".join(FEATURE_GROUPS)
        raise ConfigError(
            f"setting `routes`: route {route}: no features {group}; these exist: {known}"
        )


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float)


def _holds(wanted: Any, value: Value) -> bool:
    """Return whether any of the element's values meets the condition."""
    values = value if isinstance(value, list) else [value]
    if isinstance(wanted, Range):
        return any(wanted.holds(one) for one in values)
    accepted = wanted if isinstance(wanted, list) else [wanted]
    return any(one in accepted for one in values)
