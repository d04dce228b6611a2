"""Figures as people read them; what was not measured says so."""

from __future__ import annotations

import math

import msgspec

MISSING = "not measured"
DIGITS = 4


def number(value: float | None) -> str:
    """Return a figure with four digits, and `not measured` for None and NaN."""
    if value is None or math.isnan(value):
        return MISSING
    if abs(value) >= 10 ** (DIGITS - 1):
        return f"{value:,.0f}"
    short = f"{value:.{DIGITS}g}"
    short = short if "e" not in short else f"{value:.6f}".rstrip("0").rstrip(".")
    return "0" if short == "-0" else short


def of(value: float | None, unit: str) -> str:
    """Return a figure with its unit."""
    found = number(value)
    return found if found == MISSING else f"{found} {unit}"


def plural(count: int, what: str) -> str:
    """Return "1 frame", "2 frames"."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def about(value: object) -> str:
    """Return an entry of the machine's description: lists and dicts as one line."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {about(one)}" for key, one in value.items()) or "none"
    if isinstance(value, list | tuple):
        return ", ".join(about(one) for one in value) or "none"
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
