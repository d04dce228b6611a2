"""The object store in a folder: durable, never overwriting, checked on reading."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from engine.errors import ClaimUnreadable, StoreUnavailable
from engine.keys import object_key
from engine.store import LocalStore

KEY = object_key("1.2.3.4")


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


def test_what_is_put_is_got(store: LocalStore) -> None:
    assert not store.exists(KEY)
    assert store.put(KEY, b"abc") == "stored"
    assert store.exists(KEY)
    assert store.get(KEY) == b"abc"
    assert LocalStore(store.folder).get(KEY) == b"abc"


def test_same_bytes_again_are_a_success(store: LocalStore) -> None:
    store.put(KEY, b"abc")
    assert store.put(KEY, b"abc") == "same"


def test_other_bytes_are_quarantined_and_never_overwrite(store: LocalStore) -> None:
    store.put(KEY, b"abc")
    assert store.put(KEY, b"xyz") == "conflict"
    assert store.get(KEY) == b"abc"
    (kept,) = (store.folder / "quarantine").iterdir()
    assert kept.read_bytes() == b"xyz"


def test_one_of_many_writers_wins(store: LocalStore) -> None:
    values = [bytes([n]) * 10_000 for n in range(8)]
    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(lambda value: store.put(KEY, value), values))
    assert sorted(outcomes) == ["conflict"] * 7 + ["stored"]
    assert store.get(KEY) == values[outcomes.index("stored")]


def test_object_whose_checksum_was_never_written_is_not_there(store: LocalStore) -> None:
    store.put(KEY, b"abc")
    (store.folder / KEY[:2] / f"{KEY}.sha256").unlink()
    assert not store.exists(KEY)
    assert store.put(KEY, b"abc") == "same"
    assert store.get(KEY) == b"abc"


def test_damage_is_found(store: LocalStore) -> None:
    store.put(KEY, b"abc")
    (store.folder / KEY[:2] / KEY).write_bytes(b"abd")
    with pytest.raises(ClaimUnreadable, match="damaged"):
        store.get(KEY)


def test_missing_object(store: LocalStore) -> None:
    with pytest.raises(StoreUnavailable, match="not there"):
        store.get(KEY)


@pytest.mark.parametrize("key", ["", "../x", "1.2.840", KEY.upper(), KEY + "\n", KEY + "/.."])
def test_key_is_a_hash(store: LocalStore, key: str) -> None:
    with pytest.raises(ValueError, match="64 hexadecimal"):
        store.put(key, b"abc")


def test_file_in_the_way_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreUnavailable, match="setting `store`"):
        LocalStore(tmp_path / "file" / "store").put(KEY, b"abc")


def test_full_disk_leaves_nothing_behind(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreUnavailable, match="the disk is full"):
        store.put(KEY, b"abc")
    assert list((store.folder / KEY[:2]).iterdir()) == []
    monkeypatch.undo()
    assert store.put(KEY, b"abc") == "stored"
