"""Row 9: what is sent, what is found, and that a byte too many or too few is seen."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom import dcmread

from perf.baselines import storescp
from perf.compare.case import Load
from perf.rows import cstore

IN_CI = os.environ.get("CI") == "true"  # there nothing may be missing
needs_dcmtk = pytest.mark.skipif(
    bool(storescp.missing()) and not IN_CI, reason=storescp.missing() or "DCMTK is here"
)


def quiet(text: str) -> None:
    """Progress that nobody reads."""


def test_every_object_is_another_and_the_digest_is_of_its_data_set(tmp_path: Path) -> None:
    folders, sent = cstore.written(tmp_path, 25, 2)
    assert sent.total() == len(sent) == 25
    assert [len(list(folder.iterdir())) for folder in folders] == [13, 12]
    path = folders[0] / "0.dcm"
    found = dcmread(path)
    found.file_meta.ImplementationVersionName = "SOMEBODY ELSE'S"
    found.save_as(other := tmp_path / "other.dcm", enforce_file_format=True)
    assert other.read_bytes() != path.read_bytes()
    assert cstore.digest(other) == cstore.digest(path)
    other.write_bytes(other.read_bytes()[:-1] + b"\xff")
    assert cstore.digest(other) != cstore.digest(path)


def test_without_dcmtk_the_rows_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    for row in cstore.cases():
        assert isinstance(row, Load)
        assert "apt-get install dcmtk" in row.missing()


@needs_dcmtk
@pytest.mark.parametrize("rival", ["pynetdicom", "storescp"])
def test_both_sides_store_every_object_bit_by_bit(rival: str) -> None:
    found = cstore.measure("bare", rival, quiet, objects=24, rounds=1)
    assert found.equal, found.note
    assert all(ours > 0 and theirs > 0 for ours, theirs in found.rounds)


@needs_dcmtk
def test_an_object_that_is_not_as_it_was_sent_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    carried: Callable[..., tuple[float, cstore.Digests]] = cstore.carried

    def losing(side: cstore.Side, shares: list[Path]) -> tuple[float, cstore.Digests]:
        seconds, found = carried(side, shares)
        found.popitem()
        return seconds, found

    monkeypatch.setattr(cstore, "carried", losing)
    found = cstore.measure("bare", "storescp", quiet, objects=8, rounds=1)
    assert not found.equal
    assert "storescp: 7 of 8 bit-exact" in found.note
