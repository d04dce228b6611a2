"""The rows of CLAHE and of the chain: both sides compute the same, or nothing is compared."""

from __future__ import annotations

import pytest

from perf.compare.case import Case
from perf.rows import clahe, enhance


@pytest.mark.parametrize("case", [*clahe.cases(), *enhance.cases()], ids=lambda case: case.name)
def test_both_sides_compute_the_same(case: Case) -> None:
    prepared = case.prepare()
    same, note = prepared.equal()
    assert same, note
    assert note
    assert prepared.ours() is not prepared.ours()
    assert prepared.theirs().shape == prepared.ours().shape  # type: ignore[attr-defined]
