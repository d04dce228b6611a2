"""Which rows there are. A new row is a module `perf/rows/<name>.py` with `cases()`, named here."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module

from perf.compare.case import Entry

# The order in which they run.
ROWS: tuple[str, ...] = (
    *("null", "decode", "enhance", "clahe", "wire", "preprocess", "unet"),
    *("path", "serve", "batching", "kafka", "cstore"),
)


def entries(names: Iterable[str] = ()) -> list[Entry]:
    """Return the rows of these names, of all when none is given.

    A name is a whole row ("clahe") or one rival ("clahe/opencv"). Raises KeyError for an unknown
    one, with the known names as its text.
    """
    wanted = list(names) or list(ROWS)
    found: list[Entry] = []
    for name in wanted:
        row = name.partition("/")[0]
        if row not in ROWS:
            raise KeyError(f"no row {name!r}: there are {', '.join(ROWS)}")
        matching = [one for one in _module(row) if name in (row, one.name)]
        if not matching:
            known = ", ".join(one.name for one in _module(row))
            raise KeyError(f"no row {name!r}: there are {known}")
        found += [one for one in matching if one not in found]
    return found


def _module(row: str) -> list[Entry]:
    cases: list[Entry] = import_module(f"perf.rows.{row}").cases()
    return cases
