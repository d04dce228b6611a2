"""DCMTK's storage SCP and SCU, the C++ programs of the Debian package `dcmtk`."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from engine.local.processes import HOST, Child, Server, accepts

LONGEST_PDU = "131072"  # the most that DCMTK 3.6.7 takes; its default is 16,384


def missing() -> str:
    """Say why DCMTK cannot be measured here, "" where it can."""
    absent = [name for name in ("storescp", "storescu") if shutil.which(name) is None]
    return f"DCMTK has no {absent[0]} here: apt-get install dcmtk" if absent else ""


def version() -> str:
    """Return the version of DCMTK."""
    said = subprocess.run(["storescp", "--version"], capture_output=True, text=True, check=False)
    found = re.search(r"v(\d[\d.]+)", said.stdout)
    return found[1] if found else "of unknown version"


class StoreScp(Server):
    """storescp at its best: a process for each association, long PDUs, data as they are read.

    It writes files without fsync. With `ignore` it writes nothing: what the sender can do.
    """

    def __init__(self, folder: Path, store: Path, title: str, *, ignore: bool = False) -> None:
        super().__init__(folder, [None])
        self.name, self._store, self._title, self._ignore = "storescp", store, title, ignore

    def _make_child(self) -> Child:
        words = ["storescp", "--quiet", "--fork", "--bit-preserving", "--disable-host-lookup"]
        words += ["--max-pdu", LONGEST_PDU, "--aetitle", self._title]
        words += ["--output-directory", str(self._store), "--unique-filenames"]
        words += ["--ignore"] if self._ignore else []
        log = self.folder / f"{self.name}.log"
        return Child(self.name, [*words, str(self.ports[0])], log=log)

    def _is_ready(self) -> bool:
        return accepts(self.ports[0])


def sender(folder: Path, port: int, title: str) -> list[str]:
    """Return the command that sends the files of a folder over one association."""
    words = ["storescu", "--quiet", "--required", "--max-pdu", LONGEST_PDU]
    return [*words, "--aetitle", "STORESCU", "--call", title, "+sd", HOST, str(port), str(folder)]
