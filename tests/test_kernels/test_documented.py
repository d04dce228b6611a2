"""docs/kernels.md says what there is: every kernel, its bodies, the chains that call it."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import kernels
from engine import enhance as chains
from kernels import _cupy, _numba
from tests.test_kernels.frames import picture

PAGE = Path(__file__).parents[2] / "docs" / "kernels.md"
FUNCTIONS = sorted(n for n in kernels.__all__ if inspect.isfunction(getattr(kernels, n)))


def rows() -> dict[str, list[str]]:
    """Return the cells of each kernel's line, by its name."""
    lines = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in PAGE.read_text().splitlines()
        if line.startswith("| `")
    ]
    return {cells[0].strip("`"): cells[1:] for cells in lines}


def test_every_kernel_is_listed_and_no_other() -> None:
    assert sorted(rows()) == FUNCTIONS


@pytest.mark.parametrize("name", FUNCTIONS)
def test_its_bodies_are_those_that_there_are(name: str) -> None:
    _, _, cpu, cuda, _ = rows()[name]
    shared = re.search(r"`(\w+)`", cpu)
    body = shared[1] if shared else name
    assert (body in _numba.__all__) == (cpu != "arithmetic")
    assert (body in _cupy.__all__) == bool(cuda)


def test_the_chains_are_those_that_call_it(monkeypatch: pytest.MonkeyPatch) -> None:
    called: set[tuple[str, str]] = set()

    def watch(name: str, chain: str) -> None:
        real = getattr(kernels, name)

        def watched(*given: Any, **named: Any) -> Any:
            called.add((name, chain))
            return real(*given, **named)

        monkeypatch.setattr(kernels, name, watched)

    frame = picture((40, 30), dtype=np.int16)
    for chain in chains.CHAINS:
        for name in FUNCTIONS:
            watch(name, chain)
        for window in ({}, {"center": 100.0, "width": 50.0}):
            chains._run(frame, chain, chains._Tone(slope=2.0, **window))
        monkeypatch.undo()
    said = {
        (name, chain)
        for name, cells in rows().items()
        for chain in re.findall(r"`(\w+)`", cells[-1])
        if chain in chains.CHAINS
    }
    assert said == called
