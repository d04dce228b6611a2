"""Reads the tables of a TOML file strictly; every error names the file and the key."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")


class TableError(ValueError):
    """A file of scenarios or objectives cannot be used; the text names file and key."""


def tables(path: Path) -> dict[str, Any]:
    """Return what the file holds; raise `TableError`."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise TableError(f"{path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise TableError(f"{path}: {error}") from None


def converted(found: Any, kind: type[T], path: Path, place: str) -> T:
    """Return a table as `kind`; `place` is where in the file it stands."""
    try:
        return msgspec.convert(found, kind)
    except msgspec.ValidationError as error:
        raise TableError(f"{path}: {place}: {str(error).replace('`$', '`')}") from None
