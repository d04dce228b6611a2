"""What every way in does with one object: check it, keep it, publish its frames, then answer."""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Protocol

from engine.config import Settings
from engine.errors import DependencyAway, RejectedInstance
from engine.ingest.frames import Origin, Store, keep, messages
from engine.ingest.part10 import file_head
from engine.ingest.validate import Instance, Limits, read_instance
from engine.keys import object_key
from engine.messages import FrameMessage
from engine.observe.gateway import GatewayNotes

log = logging.getLogger(__name__)

SUCCESS: Final = 0x0000
OUT_OF_RESOURCES: Final = 0xA700
MISMATCH: Final = 0xA900
CANNOT_UNDERSTAND: Final = 0xC000

REASONS: Final = {
    OUT_OF_RESOURCES: "out-of-resources",
    MISMATCH: "data-set-does-not-match",
    CANNOT_UNDERSTAND: "cannot-understand",
}


class Publishes(Protocol):
    """The part of the publisher that accepting needs."""

    def publish(self, messages: Iterable[FrameMessage]) -> int:
        """Publish; return when the broker has confirmed all; raise `BrokerUnavailable`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """One object as a sender offers it.

    `data` is its encoded data set, without preamble and meta information. `sop_class_uid` and
    `sop_instance_uid` are what the sender says that it is; None where the way in does not say.
    `study_instance_uid` is None unless the sender names the study beside the object.
    """

    data: bytes | bytearray | memoryview
    transfer_syntax_uid: str
    origin: Origin
    sop_class_uid: str | None = None
    sop_instance_uid: str | None = None
    study_instance_uid: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What became of an offer: a status of PS3.4 table B.2-1, and why in words free of its data.

    `instance` is what was read of it, None where nothing could be.
    """

    status: int
    text: str = ""
    instance: Instance | None = None


class Intake:
    """Accepts objects: success is answered only for what is durable and confirmed.

    Any thread may `accept`. `keywords` are the DICOM keywords that routes match on. `behind`
    returns why nothing can be taken now, "" when it can; it is asked before each object.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        publisher: Publishes,
        *,
        keywords: frozenset[str] = frozenset(),
        notes: GatewayNotes | None = None,
        behind: Callable[[], str] = lambda: "",
    ) -> None:
        self._settings, self._store, self._publisher = settings, store, publisher
        self._notes = notes or GatewayNotes()
        self._keywords = keywords
        self._behind = behind
        self._limits = Limits(
            max_object_bytes=settings.max_object_bytes, max_frame_bytes=settings.max_frame_bytes
        )
        self._in_flight = 0
        self._idle = threading.Condition()

    def accept(self, offer: Offer) -> Answer:
        """Take one object; return the answer for its sender. Raises nothing."""
        with self._idle:
            self._in_flight += 1
        began_s = time.perf_counter()
        try:
            answer = self._answered(offer)
        finally:
            with self._idle:
                self._in_flight -= 1
                self._idle.notify_all()
        reason = "" if answer.status == SUCCESS else REASONS.get(answer.status, "refused")
        seconds = time.perf_counter() - began_s
        self._notes.stored(offer.origin.lane, len(offer.data), seconds, reason)
        return answer

    def wait_idle(self, timeout_s: float | None = None) -> bool:
        """Wait until no object is being accepted; return False when `timeout_s` runs out."""
        with self._idle:
            return self._idle.wait_for(lambda: self._in_flight == 0, timeout_s)

    def _answered(self, offer: Offer) -> Answer:
        try:
            if reason := self._behind():
                return _refused(offer, OUT_OF_RESOURCES, reason)
            return Answer(status=SUCCESS, instance=self._accept(offer))
        except RejectedInstance as error:
            return _refused(offer, error.status, str(error))
        except DependencyAway as error:
            return _refused(offer, OUT_OF_RESOURCES, str(error))
        except MemoryError:
            return _refused(offer, OUT_OF_RESOURCES, "out of memory")
        except Exception as error:
            # The sender must get an answer, and one that lets it try again: the fault is ours. The
            # text of a stray error may quote the data set.
            reason = f"unexpected {type(error).__name__}; this is a defect, please report it"
            return _refused(offer, OUT_OF_RESOURCES, reason)

    def _accept(self, offer: Offer) -> Instance:
        instance = read_instance(
            memoryview(offer.data),
            offer.transfer_syntax_uid,
            limits=self._limits,
            keywords=self._keywords,
        )
        _check_named(offer, instance)
        head = file_head(
            instance.sop_class_uid, instance.sop_instance_uid, offer.transfer_syntax_uid
        )
        keep(self._store, object_key(instance.sop_instance_uid), b"".join((head, offer.data)))
        self._publisher.publish(
            messages(
                instance,
                offer.origin,
                store=self._store,
                inline_limit=self._settings.inline_limit,
                wire_codec=self._settings.wire_codec,
            )
        )
        return instance


def _check_named(offer: Offer, instance: Instance) -> None:
    """Refuse an object that is not the one which its sender names."""
    first = instance.first
    pairs = (
        ("SOPClassUID", offer.sop_class_uid, first.sop_class_uid),
        ("SOPInstanceUID", offer.sop_instance_uid, first.sop_instance_uid),
        ("StudyInstanceUID", offer.study_instance_uid, first.study_instance_uid),
    )
    for keyword, named, found in pairs:
        if named is not None and named != found:
            raise RejectedInstance(
                f"{keyword} of the data set is not the request's", status=MISMATCH
            )


def _refused(offer: Offer, status: int, text: str) -> Answer:
    log.warning(
        "refused 0x%04X %s: %s (%d bytes, sha256 %s)",
        status,
        REASONS.get(status, "refused"),
        text,
        len(offer.data),
        hashlib.sha256(offer.data).hexdigest()[:12],
    )
    return Answer(status=status, text=text)
