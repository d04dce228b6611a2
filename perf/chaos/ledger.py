"""The rows of the fault table, as the tests that prove them write them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

ROWS = "SCANSTREAM_CHAOS_ROWS"  # a file that rows are appended to, one JSON object a line
FORM = "SCANSTREAM_CHAOS"  # ci, short or long


class Row(msgspec.Struct, kw_only=True):
    """One fault: what was done, what is asserted, what was measured, and whether it held."""

    fault: str
    asserted: str
    measured: str = ""
    held: bool = False
    numbers: dict[str, float] = {}


def form() -> str:
    """Return how much is done: `ci` unless the environment says `short` or `long`."""
    found = os.environ.get(FORM, "ci")
    if found not in ("ci", "short", "long"):
        raise ValueError(f"{FORM} must be ci, short or long")
    return found


def sized(ci: int, short: int, long: int) -> int:
    """Return the number for this form."""
    return {"ci": ci, "short": short, "long": long}[form()]


@contextmanager
def proving(fault: str, asserted: str) -> Iterator[Row]:
    """Give a row to fill in; it is held when the block ends without an error."""
    row = Row(fault=fault, asserted=asserted)
    try:
        yield row
        row.held = True
    finally:
        print(f"{row.fault}: {row.measured}{'' if row.held else ' NOT HELD'}")
        if rows := os.environ.get(ROWS):
            with Path(rows).open("ab") as file:
                file.write(msgspec.json.encode(row) + b"\n")


def read_rows(path: Path) -> list[Row]:
    """Return the rows of such a file."""
    return [msgspec.json.decode(line, type=Row) for line in path.read_bytes().splitlines()]
