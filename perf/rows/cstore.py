"""Row 9: C-STORE, objects a second over 8 associations, against two storage SCPs.

The sender is DCMTK's storescu for all, a process for each association. The objects are the
phantom's, 256 x 256, 16 bits, native. For the two ratios nobody syncs to the disk, and our gateway
has no broker (`perf.baselines.bare_gateway`); ours as it is stands beside it. After each
round every object must lie in the receiver's folder, its data set bit by bit as it was sent.
"""

from __future__ import annotations

import hashlib
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from pydicom.uid import UID

from engine.config import Settings
from engine.local.processes import Server
from engine.local.stack import Role
from engine.phantom import Phantom, dicom_objects
from perf.baselines import storescp
from perf.baselines.storescp import StoreScp
from perf.compare.case import Entry, InTurn, Load
from perf.compare.turns import in_turn
from perf.load import stacks

ASSOCIATIONS, OBJECTS, ROUNDS = 8, 800, 4
LIMIT_S, WARM_LIMIT_S = 300.0, 30.0
SINGLE = 200  # objects over one association
PREAMBLE = 144  # and DICM, and the element that tells the length of the file meta information
ROLES = {
    "bare": ["perf.baselines.bare_gateway"],
    "ours": ["engine.cli", "gateway"],
    "pynetdicom": ["perf.baselines.pynetdicom_scp"],
}
Progress = Callable[[str], None]
Digests = Counter[str]


class Side(NamedTuple):
    """A receiver that is up, and the folder that it stores into."""

    server: Server
    folder: Path


def cases() -> list[Entry]:
    """Return the rows; the latter two have nothing to reach."""
    scu = "storescu sends to both"
    return [
        _row("pynetdicom", f"pynetdicom's own SCP, no fsync; {scu}", 3.0, "bare", "pynetdicom"),
        _row("storescp", f"DCMTK storescp --fork, no fsync; {scu}", 1.0, "bare", "storescp"),
        _row("durable", f"ours without fsync and broker; {scu}", 0.0, "ours", "bare"),
        _row("one", f"DCMTK storescp, no fsync; {scu}", 0.0, "ours", "storescp", single=True),
    ]


def _row(
    name: str, rival: str, target: float, ours: str, theirs: str, *, single: bool = False
) -> Entry:
    return Load(
        name=f"cstore/{name}",
        rival=rival,
        unit="ms an object, 1 association" if single else "objects/s",
        target=target,
        lower_is_better=single,
        measure=lambda progress: measure(ours, theirs, progress, single=single),
        missing=storescp.missing,
    )


def measure(
    ours: str,
    theirs: str,
    progress: Progress,
    *,
    single: bool = False,
    objects: int | None = None,
    rounds: int = ROUNDS,
) -> InTurn:
    """Compare two receivers of `ROLES` or storescp; `single` is one association, and times."""
    count = 1 if single else ASSOCIATIONS
    total = objects or (SINGLE if single else OBJECTS)
    with tempfile.TemporaryDirectory(prefix="perf-cstore-") as name, ExitStack() as held:
        folder = Path(name)
        shares, sent = written(folder / "sent", total, count)
        sides = {kind: held.enter_context(receiver(kind, folder / kind)) for kind in (ours, theirs)}
        wrong: list[str] = []

        def figure(kind: str) -> float:
            seconds, found = carried(sides[kind], shares)
            if found != sent:
                wrong.append(f"{kind}: {(found & sent).total()} of {sent.total()} bit-exact")
            return 1e3 * seconds / total if single else total / seconds

        for side in sides.values():
            _warm(side, shares)
        found = in_turn(lambda: figure(ours), lambda: figure(theirs), rounds, progress)
        alone = _sender_alone(folder / "alone", shares, total)
        size_mb = _bytes_each(shares, total) / 1e6
    note = (
        f"{total} objects of {size_mb:.2f} MB a round over {count} "
        f"association(s), 256 x 256 x 16 bits, native; every object stored bit-exact: {not wrong}"
        f"{' (' + '; '.join(wrong[:2]) + ')' if wrong else ''}; DCMTK {storescp.version()}; to a "
        f"storescp that ignores what it receives the sender reaches {alone:.0f} objects/s"
    )
    return InTurn(found, not wrong, note)


@contextmanager
def receiver(kind: str, folder: Path) -> Iterator[Side]:
    """Run one receiver, `ours` with a broker; its folder is empty."""
    store = folder / "store"
    store.mkdir(parents=True)
    settings = Settings(store=store, log_level="WARNING")
    with ExitStack() as held:
        if kind == "storescp":
            server: Server = StoreScp(folder, store, settings.ae_title)
        else:
            if kind == "ours":
                broker = held.enter_context(stacks.broker_only(settings))
                settings = replace(settings, broker=broker)
            server = role = Role(kind, ROLES[kind], folder, settings, ports=[None])
            role.reserve()
            # nobody to publish to: nothing to pack frames for
            codec = settings.wire_codec if kind == "ours" else "none"
            role.settings = replace(settings, port=role.ports[0], wire_codec=codec)
        yield Side(held.enter_context(server), store)


def written(folder: Path, total: int, shares: int) -> tuple[list[Path], Digests]:
    """Write the objects, each with a SOPInstanceUID of its own, into a folder for each sender.

    Returns the folders and the digests of the data sets.
    """
    pictures = list(dicom_objects(Phantom(slices=4, phases=5, seed=9)))
    folders, digests = [folder / str(number) for number in range(shares)], Digests()
    for each in folders:
        each.mkdir(parents=True)
    for number in range(total):
        found = pictures[number % len(pictures)]
        uid = UID(f"2.25.{10**37 + number}")
        found.SOPInstanceUID = found.file_meta.MediaStorageSOPInstanceUID = uid
        path = folders[number % shares] / f"{number}.dcm"
        found.save_as(path, enforce_file_format=True)
        digests[digest(path)] += 1
    return folders, digests


def carried(side: Side, shares: Sequence[Path]) -> tuple[float, Digests]:
    """Send all folders at once; return the seconds, and what lies in the receiver's folder.

    The folder is empty again afterwards. What was in it is moved away, not deleted: for a minute
    ext4 does not use the inodes of deleted files again but passes over them one by one, which made
    each new file cost 0.5 ms instead of 0.02. Raises `RuntimeError` where a sender fails.
    """
    seconds = _send(side.server, shares)
    found = Digests(digest(path) for path in _files(side.folder))
    away = Path(tempfile.mkdtemp(prefix="round-", dir=side.folder.parent))
    for each in side.folder.iterdir():
        each.rename(away / each.name)
    return seconds, found


def _warm(side: Side, shares: Sequence[Path]) -> None:
    """Send everything once; our gateway refuses objects until it has reached its broker."""
    end_s = time.monotonic() + WARM_LIMIT_S
    while True:
        try:
            carried(side, shares)
        except RuntimeError:
            if time.monotonic() > end_s:
                raise
            continue
        return


def _send(server: Server, shares: Sequence[Path]) -> float:
    title, start_s = Settings().ae_title, time.perf_counter()
    senders = [
        subprocess.Popen(storescp.sender(share, server.ports[0], title), stderr=subprocess.PIPE)
        for share in shares
    ]
    try:
        for one in senders:
            _, said = one.communicate(timeout=LIMIT_S)
            if one.returncode:
                text = said.decode(errors="replace").strip()
                raise RuntimeError(f"storescu to {server.name} failed: {text[-500:]}")
    finally:
        for one in senders:
            one.kill()
            one.wait()
    return time.perf_counter() - start_s


def _sender_alone(folder: Path, shares: Sequence[Path], total: int) -> float:
    """Return the objects a second that the sender reaches where nothing is stored."""
    folder.mkdir()
    with StoreScp(folder, folder, Settings().ae_title, ignore=True) as server:
        _send(server, shares)
        return total / _send(server, shares)


def _files(folder: Path) -> Iterator[Path]:
    """Yield the objects in a receiver's folder; our store keeps a checksum beside each."""
    for path in folder.rglob("*"):
        if path.is_file() and path.suffix != ".sha256":
            yield path


def digest(path: Path) -> str:
    """Return the SHA-256 of the data set in a DICOM file, without the file meta information.

    That is each receiver's own; its first element tells its length (PS3.10 7.1).
    """
    data = path.read_bytes()
    start = PREAMBLE + int.from_bytes(data[PREAMBLE - 4 : PREAMBLE], "little")
    return hashlib.sha256(data[start:]).hexdigest()


def _bytes_each(shares: Sequence[Path], total: int) -> float:
    return sum(path.stat().st_size for share in shares for path in share.iterdir()) / total
