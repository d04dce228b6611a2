"""A scanner that gives nothing up: one series, in order, each object sent until acknowledged."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from engine.config import Settings
from engine.errors import ClaimUnreadable
from engine.keys import object_key
from engine.messages import FrameMessage
from engine.store import open_store
from perf.load.frames import Frames, Pick
from perf.load.objects import Template
from perf.load.scu import SUCCESS, Scu
from perf.load.target import TargetFailed

AGAIN_S = 0.1  # between two tries, as a scanner waits
BUSY = 0xA700
BUDGET_MS = 60_000.0


class Sent(NamedTuple):
    """An object that was acknowledged, and when (`time.monotonic`)."""

    sop_instance_uid: str
    length: int
    sha256: str
    at_s: float

    @property
    def frame_id(self) -> str:
        """The id of its only frame."""
        return f"{self.sop_instance_uid}/1"


class Scanner(threading.Thread):
    """Sends objects of the samples from `start` until `end`, or until `count` are acknowledged.

    At most `rate_hz` a second, as fast as it is answered when that is None. What is refused for
    want of resources, or gets no answer, is sent again before the next one. Any other refusal ends
    it; `check` raises it.
    """

    def __init__(
        self,
        settings: Settings,
        samples: Sequence[FrameMessage],
        number: int,
        *,
        count: int | None = None,
        rate_hz: float | None = None,
    ) -> None:
        super().__init__(name=f"scanner-{number}", daemon=True)
        self._address, self._title = f"{settings.host}:{settings.port}", settings.ae_title
        self._templates = [Template(one) for one in samples]
        self._frames, self._pick = Frames(samples), Pick(series=number)
        self._count, self._rate_hz = count, rate_hz
        self._over = threading.Event()
        self._scu: Scu | None = None
        self._failure: Exception | None = None
        self.acknowledged: list[Sent] = []
        self.refused: Counter[int] = Counter()
        self.broken = 0

    def end(self) -> None:
        """Stop after the object that is under way; wait for that."""
        self._over.set()
        self.join()
        self.check()

    def check(self) -> None:
        """Raise what ended it."""
        if self._failure is not None:
            raise self._failure

    def run(self) -> None:
        """Send."""
        begun_s = time.monotonic()
        try:
            while not self._over.is_set() and len(self.acknowledged) != self._count:
                if self._rate_hz:
                    due_s = begun_s + len(self.acknowledged) / self._rate_hz
                    self._over.wait(due_s - time.monotonic())
                self._store(*self._frames.next(time.time_ns(), BUDGET_MS, self._pick))
        except Exception as error:  # raised again by `check`
            self._failure = error
        finally:
            self._drop()

    def _store(self, place: int, frame: FrameMessage) -> None:
        template, uid = self._templates[place], frame.info.sop_instance_uid
        pieces = template.pieces(frame)
        while not self._over.is_set():
            try:
                status = self._connected().store(self._contexts[place], uid, pieces)
            except TargetFailed:
                self.broken += 1
                self._drop()
                self._over.wait(AGAIN_S)
                continue
            if status == SUCCESS:
                data = b"".join(pieces)
                sha256 = hashlib.sha256(data).hexdigest()
                self.acknowledged.append(Sent(uid, len(data), sha256, time.monotonic()))
                return
            self.refused[status] += 1
            if status != BUSY:
                raise TargetFailed(f"frame {frame.id}: refused 0x{status:04X}")
            self._over.wait(AGAIN_S)

    @property
    def _contexts(self) -> list[tuple[str, str]]:
        return [(one.sop_class_uid, one.transfer_syntax_uid) for one in self._templates]

    def _connected(self) -> Scu:
        if self._scu is None:
            pairs = sorted(set(self._contexts))
            self._scu = Scu(self._address, pairs, called=self._title, calling=self.name.upper())
        return self._scu

    def _drop(self) -> None:
        if self._scu is not None:
            self._scu.close()
            self._scu = None


def missing_in_store(settings: Settings, sent: Sequence[Sent]) -> list[str]:
    """Return the objects that the store does not hold as they were sent, by their SHA-256."""
    store = open_store(settings)
    lost = []
    for one in sent:
        try:
            stored = store.get(object_key(one.sop_instance_uid))
        except ClaimUnreadable:
            lost.append(one.sop_instance_uid)
            continue
        if hashlib.sha256(stored[-one.length :]).hexdigest() != one.sha256:
            lost.append(one.sop_instance_uid)
    return lost
