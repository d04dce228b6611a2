"""The DICOM target: objects by C-STORE to a gateway, answers as a consumer reads them."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from queue import SimpleQueue

from engine.messages import FrameMessage
from perf.load.frames import place_of
from perf.load.objects import Template
from perf.load.scu import HIGH, MEDIUM, SUCCESS, Scu
from perf.load.target import Answered, TargetFailed
from perf.load.target_kafka import Results

CALLING = "PERF"
CLOSE_S = 60.0


class Dicom:
    """A modality with several associations, each on a thread of its own.

    `send` queues: a gateway that is slow to answer makes the queue longer, not the arrivals fewer.
    STAT frames are sent with priority HIGH. The gateway sets deadlines itself.
    """

    def __init__(
        self,
        gateway: str,
        broker: str,
        samples: Sequence[FrameMessage],
        *,
        associations: int,
        ae_title: str,
    ) -> None:
        self._gateway, self._ae_title, self._count = gateway, ae_title, associations
        self._results = Results(broker)
        self._templates = [Template(one) for one in samples]
        self._waiting: SimpleQueue[FrameMessage | None] = SimpleQueue()
        self._failure: Exception | None = None
        self._threads: list[threading.Thread] = []
        self._scus: list[Scu] = []

    def start(self, answered: Answered) -> None:
        """Open the associations, and read results and dead letters from here on."""
        pairs = {(one.sop_class_uid, one.transfer_syntax_uid) for one in self._templates}
        try:
            for _ in range(self._count):
                scu = Scu(self._gateway, sorted(pairs), called=self._ae_title, calling=CALLING)
                self._scus.append(scu)
            self._results.start(answered)
        except BaseException:
            self._abort()
            raise
        self._threads = [
            threading.Thread(target=self._work, args=(scu,), daemon=True) for scu in self._scus
        ]
        for thread in self._threads:
            thread.start()

    def send(self, frame: FrameMessage) -> None:
        """Queue one object; raise `TargetFailed` once one was refused."""
        self._check()
        self._waiting.put(frame)

    def close(self) -> None:
        """Send what is queued, release the associations, and stop reading."""
        for _ in self._threads:
            self._waiting.put(None)
        end_s = time.monotonic() + CLOSE_S
        for thread in self._threads:
            thread.join(max(0.0, end_s - time.monotonic()))
        if any(thread.is_alive() for thread in self._threads):
            self._abort()
            self._failure = self._failure or TargetFailed(
                f"{self._gateway} had not answered {self._waiting.qsize()} objects after"
                f" {CLOSE_S:.0f} s"
            )
        self._results.close()
        self._check()

    def _check(self) -> None:
        if self._failure is not None:
            raise TargetFailed(f"not every object was stored: {self._failure}") from self._failure
        self._results.check()

    def _abort(self) -> None:
        for scu in self._scus:
            scu.abort()

    def _work(self, scu: Scu) -> None:
        try:
            while (frame := self._waiting.get()) is not None:
                self._store(scu, frame)
        except Exception as error:  # told by whoever sends or closes next
            self._failure = self._failure or error
        finally:
            scu.close()

    def _store(self, scu: Scu, frame: FrameMessage) -> None:
        template = self._templates[place_of(frame)]
        status = scu.store(
            (template.sop_class_uid, template.transfer_syntax_uid),
            frame.info.sop_instance_uid,
            template.pieces(frame),
            priority=HIGH if frame.lane == "stat" else MEDIUM,
        )
        if status != SUCCESS:
            raise TargetFailed(f"frame {frame.id}: {self._gateway} answers 0x{status:04X}")
