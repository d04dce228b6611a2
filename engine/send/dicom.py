"""The C-STORE SCU: each object in its own transfer syntax, its encoded bytes untouched."""

from __future__ import annotations

import queue
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pydicom import Dataset
from pydicom.filereader import read_file_meta_info
from pydicom.uid import ImplicitVRLittleEndian
from pynetdicom import AE, _config

from engine.errors import EngineError
from engine.quiet import silence_dicom_libraries

SUCCESS: Final = 0x0000
MAX_CONTEXTS: Final = 128  # presentation context ids are odd and at most 255 (PS3.8 9.3.2.2)
HIGH: Final = 1
MEDIUM: Final = 0

NO_ANSWER: Final = "no answer; the association ended"
STATUSES: Final = {
    0x0000: "success",
    0x0122: "SOP class not supported",
    0xA700: "out of resources: send it again later",
    0xA900: "data set does not match",
    0xC000: "cannot understand",
}

Source = Path | Dataset
Progress = Callable[[], None]


class NotSent(EngineError):
    """No association with the gateway; nothing more can be sent."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """One object that was not accepted, and why. `index` is its place in the input."""

    index: int
    path: str
    reason: str


@dataclass(slots=True)
class SendReport:
    """What became of every object."""

    sent: int = 0
    accepted: int = 0
    seconds: float = 0.0
    statuses: Counter[str] = field(default_factory=Counter)
    refused: list[Refusal] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """True when every object was accepted."""
        return not self.refused


@dataclass(frozen=True, slots=True)
class _Job:
    index: int
    source: Source
    path: str
    context: tuple[str, str]  # SOP class, transfer syntax
    due_s: float


def find_files(paths: Iterable[Path]) -> Iterator[Path]:
    """Yield files, and those below folders, in the order of their names."""
    for path in paths:
        if path.is_dir():
            yield from sorted(each for each in path.rglob("*") if each.is_file())
        else:
            yield path


def send_dicom(
    sources: Sequence[Source],
    host: str,
    port: int,
    *,
    ae_title: str = "SCANSTREAM-SCU",
    called_ae_title: str = "SCANSTREAM",
    associations: int = 1,
    rate_hz: float | None = None,
    stat: bool = False,
    progress: Progress | None = None,
) -> SendReport:
    """Send files (paths) or data sets with C-STORE; return what became of each.

    `rate_hz` is open loop: object i is due i / rate after the start, whatever the answers do; one
    that is late is sent at once. `stat` asks for priority HIGH. `progress` is called after each
    object. A file that is not DICOM, or whose SOP class and transfer syntax the gateway does not
    take, is a `Refusal`. Raise `NotSent` when there is no association at all.
    """
    silence_dicom_libraries()
    _config.STORE_SEND_CHUNKED_DATASET = True  # files go as they are, never encoded again
    report, lock = SendReport(), threading.Lock()
    planned = _plan(sources, report, rate_hz)
    jobs = _queue_of(planned)
    peer, started = (host, port, called_ae_title), time.monotonic()
    with closing(_requestor(ae_title, planned)) as ae:

        def work() -> None:
            for status, job in _send_all(ae, peer, jobs, started, stat):
                with lock:
                    _count(report, job, status)
                    if progress is not None:
                        progress()

        _run_together(work, min(associations, len(planned)))
    report.seconds = time.monotonic() - started
    report.refused.sort(key=lambda refusal: refusal.index)
    return report


def _plan(sources: Sequence[Source], report: SendReport, rate_hz: float | None) -> list[_Job]:
    """Look at every source's SOP class and transfer syntax; refuse what is not DICOM."""
    jobs: list[_Job] = []
    for index, source in enumerate(sources):
        path = str(source) if isinstance(source, Path) else f"data set {index}"
        try:
            context = _context(source)
        except Exception as error:  # a file from outside can fail in any way inside pydicom
            report.refused.append(Refusal(index, path, f"not DICOM ({type(error).__name__})"))
            continue
        due_s = len(jobs) / rate_hz if rate_hz else 0.0
        jobs.append(_Job(index, source, path, context, due_s))
    return jobs


def _queue_of(planned: Sequence[_Job]) -> queue.SimpleQueue[_Job]:
    jobs: queue.SimpleQueue[_Job] = queue.SimpleQueue()
    for job in planned:
        jobs.put(job)
    return jobs


def _context(source: Source) -> tuple[str, str]:
    if isinstance(source, Dataset):
        return str(source.SOPClassUID), str(source.file_meta.TransferSyntaxUID)
    meta = read_file_meta_info(source)
    return str(meta.MediaStorageSOPClassUID), str(meta.TransferSyntaxUID)


class _Requestor(AE):  # type: ignore[misc]  # pynetdicom is untyped
    """Closes its sockets: pynetdicom 3.0.4 does not when the peer is away or has died."""

    def __init__(self, ae_title: str) -> None:
        super().__init__(ae_title)
        self._connections: list[socket.socket] = []

    def _create_socket(self, *args: Any) -> Any:
        wrapper = super()._create_socket(*args)
        self._connections.append(wrapper.socket)
        return wrapper

    def close(self) -> None:
        for connection in self._connections:
            connection.close()


def _requestor(ae_title: str, jobs: Sequence[_Job]) -> _Requestor:
    ae = _Requestor(ae_title)
    ae.maximum_pdu_size = 0
    contexts = sorted({job.context for job in jobs})
    if len(contexts) > MAX_CONTEXTS:
        raise NotSent(
            f"the files have {len(contexts)} pairs of SOP class and transfer syntax; an"
            f" association takes {MAX_CONTEXTS}: send them in several runs"
        )
    for sop_class, transfer_syntax in contexts:
        ae.add_requested_context(sop_class, transfer_syntax or ImplicitVRLittleEndian)
    return ae


def _send_all(
    ae: Any,
    peer: tuple[str, int, str],
    jobs: queue.SimpleQueue[_Job],
    started: float,
    stat: bool,
) -> Iterator[tuple[int | str, _Job]]:
    """Yield the status of each job taken from the queue.

    When the association ends without an answer, the object is sent once more over a new one, as
    scanners do: the same object twice has the effect of once.
    """
    host, port, called = peer
    job: _Job | None = None
    again = False
    while not jobs.empty() or job is not None:
        association = ae.associate(host, port, ae_title=called)
        if not association.is_established:
            raise NotSent(f"no association with {called} at {host}:{port}: is a gateway there?")
        try:
            while association.is_established and (job := job or _next(jobs)) is not None:
                _wait_until(started + job.due_s)
                status = _send(association, job, HIGH if stat else MEDIUM)
                if status == NO_ANSWER and not again:
                    again = True
                    break
                yield status, job
                job, again = None, False
        finally:
            if association.is_established:
                association.release()


def _next(jobs: queue.SimpleQueue[_Job]) -> _Job | None:
    try:
        return jobs.get_nowait()
    except queue.Empty:
        return None


def _send(association: Any, job: _Job, priority: int) -> int | str:
    """Send one object; return its status, or the reason why there is none."""
    try:
        answer = association.send_c_store(job.source, priority=priority)
    except ValueError:
        return "the gateway does not take its SOP class in its transfer syntax"
    except Exception as error:  # pydicom and the file: anything
        return f"cannot be sent ({type(error).__name__})"
    return int(answer.Status) if "Status" in answer else NO_ANSWER


def _wait_until(due: float) -> None:
    delay = due - time.monotonic()
    if delay > 0:
        time.sleep(delay)


def _count(report: SendReport, job: _Job, status: int | str) -> None:
    report.sent += 1
    text = status if isinstance(status, str) else STATUSES.get(status, "refused")
    if isinstance(status, int):
        report.statuses[f"0x{status:04X}"] += 1
        text = f"0x{status:04X} {text}"
    if status == SUCCESS:
        report.accepted += 1
    else:
        report.refused.append(Refusal(job.index, job.path, text))


def _run_together(work: Callable[[], None], count: int) -> None:
    """Run `work` in `count` threads; raise the first error after all have ended."""
    errors: list[Exception] = []

    def guarded() -> None:
        try:
            work()
        except Exception as error:  # raised below, in the caller's thread
            errors.append(error)

    threads = [threading.Thread(target=guarded, name=f"send-{n}") for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
