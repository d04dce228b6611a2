"""An object store in a folder: every `put` is atomic and durable, and nothing is overwritten.

An object lies at `<first two digits>/<key>`, its SHA-256 beside it in `<key>.sha256` (so that
`sha256sum -c` checks a folder). The checksum is written last: an object without one was never
confirmed to anybody.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal, Protocol

from engine.errors import ClaimUnreadable, StoreUnavailable

Put = Literal["stored", "same", "conflict"]

_KEY = re.compile(r"[0-9a-f]{64}")


class ObjectStore(Protocol):
    """What the gateway and the workers need of a store; a folder or S3."""

    def put(self, key: str, data: bytes) -> Put:
        """Keep `data` under `key`, durable on return; raise `StoreUnavailable`."""
        ...

    def get(self, key: str) -> bytes:
        """Return the object; raise `ClaimUnreadable` when it is missing or damaged.

        Raise `StoreUnavailable` when the store itself does not answer.
        """
        ...

    def exists(self, key: str) -> bool:
        """True once `put` of `key` has been confirmed."""
        ...


class LocalStore:
    """An `ObjectStore` in a folder of this machine. Safe with several threads and processes."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self._durable: set[Path] = set()  # folders whose own name is known to be synced

    def put(self, key: str, data: bytes) -> Put:
        """Keep `data` under `key`; on return it survives a power cut.

        `same`: the key held these bytes already. `conflict`: the key holds other bytes; they stay,
        and `data` is kept under `quarantine/`. Raise `StoreUnavailable` when it cannot be kept.
        """
        path, sha = self._path(key), hashlib.sha256(data).hexdigest()
        with _explained(self.folder):
            self._make(path.parent)
            outcome: Put = "stored" if _create(path, data) else "same"
            if outcome == "same" and not _holds(path, data):
                self._quarantine(key, sha, data)
                return "conflict"
            checksum = path.with_name(f"{key}.sha256")
            if outcome == "stored" or not checksum.exists():
                _create(checksum, f"{sha}  {key}\n".encode())
            _sync(path.parent)
        return outcome

    def get(self, key: str) -> bytes:
        """Return the object, checked against its SHA-256.

        Raise `ClaimUnreadable` when it is missing or damaged though the folder is there, else
        `StoreUnavailable`.
        """
        path = self._path(key)
        with _explained(self.folder):
            if self.folder.is_dir() and not self.exists(key):
                raise ClaimUnreadable(f"object {key} is not in the store: restore it, then retry")
            data = path.read_bytes()
            wanted = path.with_name(f"{key}.sha256").read_text().split()[:1]
        if [hashlib.sha256(data).hexdigest()] != wanted:
            raise ClaimUnreadable(f"object {key} in the store is damaged: restore it, then retry")
        return data

    def exists(self, key: str) -> bool:
        """True once `put` of `key` has been confirmed."""
        path = self._path(key)
        return path.with_name(f"{key}.sha256").exists() and path.exists()

    def _path(self, key: str) -> Path:
        if not _KEY.fullmatch(key):
            raise ValueError("a store key is 64 hexadecimal digits")
        return self.folder / key[:2] / key

    def _make(self, folder: Path) -> None:
        """Make a folder of the store, and the store; their names are synced once, whoever did."""
        folder.mkdir(parents=True, exist_ok=True)
        for each in (self.folder, folder):
            if each not in self._durable:
                _sync(each.parent)
                self._durable.add(each)

    def _quarantine(self, key: str, sha: str, data: bytes) -> None:
        path = self.folder / "quarantine" / f"{key}-{sha}"
        self._make(path.parent)
        _create(path, data)
        _sync(path.parent)


def _create(path: Path, data: bytes) -> bool:
    """Write `data` to a new file, synced; return False, writing nothing, when `path` is taken."""
    if path.exists():
        return False
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with temporary.open("xb", buffering=0) as file:
            rest = memoryview(data)
            while rest:
                rest = rest[file.write(rest) :]
            os.fsync(file.fileno())
        os.link(temporary, path)  # unlike a rename, never replaces
    except FileExistsError:
        return False
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()
    return True


def _holds(path: Path, data: bytes) -> bool:
    return path.stat().st_size == len(data) and path.read_bytes() == data


def _sync(folder: Path) -> None:
    """Make the names in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


_CURES = {
    errno.ENOSPC: "the disk is full: free space or move `store`",
    errno.EDQUOT: "the quota is used up: free space or move `store`",
    errno.EACCES: "permission is denied: let this user write there",
    errno.EPERM: "permission is denied: let this user write there",
    errno.EROFS: "the file system is read-only: remount it or move `store`",
    errno.ENOENT: "it is not there: check the setting `store`, or restore the object",
    errno.ENOTDIR: "a file is in the way: check the setting `store`",
}


@contextmanager
def _explained(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        cure = _CURES.get(error.errno or 0, error.strerror or type(error).__name__)
        raise StoreUnavailable(f"store {folder}: {cure}") from error
