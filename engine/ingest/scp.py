"""The C-STORE SCP (PS3.4 annex B): success is answered only for what is durable and confirmed."""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from typing import Any, Final

from pynetdicom import AE, AllStoragePresentationContexts, evt
from pynetdicom.sop_class import Verification

from engine import wire
from engine.config import Settings
from engine.errors import DependencyAway, RejectedInstance
from engine.ingest.frames import Origin, Store, keep, messages
from engine.ingest.publisher import Publisher
from engine.ingest.syntaxes import SYNTAXES
from engine.ingest.transport import PDU_BYTES, BoundedHandler
from engine.ingest.validate import Limits, read_instance
from engine.keys import object_key
from engine.messages import Lane
from engine.observe.gateway import GatewayNotes
from engine.quiet import silence_dicom_libraries

log = logging.getLogger(__name__)

SUCCESS: Final = 0x0000
OUT_OF_RESOURCES: Final = 0xA700
MISMATCH: Final = 0xA900
CANNOT_UNDERSTAND: Final = 0xC000
HIGH: Final = 1  # Priority of a C-STORE request (PS3.7 9.3.1.1)

REASONS: Final = {
    OUT_OF_RESOURCES: "out-of-resources",
    MISMATCH: "data-set-does-not-match",
    CANNOT_UNDERSTAND: "cannot-understand",
}

ACSE_TIMEOUT_S = 10
NETWORK_TIMEOUT_S = 60


class Gateway:
    """Accepts objects, stores them, publishes their frames, then acknowledges.

    `keywords` are the DICOM keywords that routes match on.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        publisher: Publisher,
        *,
        keywords: frozenset[str] = frozenset(),
        notes: GatewayNotes | None = None,
    ) -> None:
        self._settings, self._store, self._publisher = settings, store, publisher
        self._notes = notes or GatewayNotes()
        self._keywords = keywords
        self._limits = Limits(
            max_object_bytes=settings.max_object_bytes, max_frame_bytes=settings.max_frame_bytes
        )
        self._in_flight = 0
        self._idle = threading.Condition()
        self._server: Any = None

    def start(self) -> None:
        """Listen; raise `OSError` when the port is taken."""
        silence_dicom_libraries()
        if self._settings.wire_codec == "auto":
            wire.warm()  # before listening: loaded beside it, it slowed the first frames down
        ae = AE(ae_title=self._settings.ae_title)
        ae.maximum_associations = self._settings.max_associations
        ae.acse_timeout = ACSE_TIMEOUT_S
        ae.dimse_timeout = ae.network_timeout = NETWORK_TIMEOUT_S
        ae.maximum_pdu_size = PDU_BYTES
        for context in AllStoragePresentationContexts:
            ae.add_supported_context(context.abstract_syntax, list(SYNTAXES))
        ae.add_supported_context(Verification)
        self._server = ae.start_server(
            (self._settings.host, self._settings.port),
            block=False,
            evt_handlers=[(evt.EVT_C_STORE, self._on_store), (evt.EVT_DATA_RECV, self._on_data)],
        )
        self._server.RequestHandlerClass = BoundedHandler

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self._server.server_address[1])

    @property
    def associations(self) -> int:
        """How many associations are open."""
        return len(self._server.active_associations)

    def drain(self, grace_s: float = 3.0) -> None:
        """Stop listening, let associations end for `grace_s`, finish what is in flight, close."""
        self._server.shutdown()
        deadline = time.monotonic() + grace_s
        while (open_ones := self._server.active_associations) and time.monotonic() < deadline:
            open_ones[0].join(0.1)
        with self._idle:
            self._idle.wait_for(lambda: self._in_flight == 0)
        for association in self._server.active_associations:
            association.abort()

    def _on_data(self, event: Any) -> None:
        """Abort an association whose object outgrows the cap before it is complete."""
        message = event.assoc.dimse.message
        if message is not None and message.data_set.tell() > self._settings.max_object_bytes:
            log.warning("aborted an association: an object exceeds `max_object_bytes`")
            event.assoc.abort()

    def _on_store(self, event: Any) -> int:
        """Answer one C-STORE request with a status of PS3.4 table B.2-1."""
        with self._idle:
            self._in_flight += 1
        try:
            return self._store_and_publish(event)
        finally:
            with self._idle:
                self._in_flight -= 1
                self._idle.notify_all()

    def _store_and_publish(self, event: Any) -> int:
        origin = self._origin(event)
        began_s = time.perf_counter()
        data = event.encoded_dataset(include_meta=False)
        status = self._answered(event, data, origin)
        reason = "" if status == SUCCESS else REASONS.get(status, "refused")
        self._notes.stored(origin.lane, len(data), time.perf_counter() - began_s, reason)
        return status

    def _answered(self, event: Any, data: bytes, origin: Origin) -> int:
        try:
            self._accept(event, data, origin)
        except RejectedInstance as error:
            return self._refused(event, data, error.status, str(error))
        except DependencyAway as error:
            return self._refused(event, data, OUT_OF_RESOURCES, str(error))
        except MemoryError:
            return self._refused(event, data, OUT_OF_RESOURCES, "out of memory")
        except Exception as error:
            # The sender must get an answer, and one that lets it try again: the fault is ours. The
            # text of a stray error may quote the data set.
            reason = f"unexpected {type(error).__name__}; this is a defect, please report it"
            return self._refused(event, data, OUT_OF_RESOURCES, reason)
        return SUCCESS

    def _accept(self, event: Any, data: bytes, origin: Origin) -> None:
        instance = read_instance(
            data,
            str(event.context.transfer_syntax),
            limits=self._limits,
            keywords=self._keywords,
        )
        request = event.request
        named = (str(request.AffectedSOPClassUID), str(request.AffectedSOPInstanceUID))
        if named != (instance.sop_class_uid, instance.sop_instance_uid):
            raise RejectedInstance(
                "SOPClassUID or SOPInstanceUID of the data set is not the request's",
                status=MISMATCH,
            )
        keep(self._store, object_key(instance.sop_instance_uid), event.encoded_dataset())
        self._publisher.publish(
            messages(
                instance,
                origin,
                store=self._store,
                inline_limit=self._settings.inline_limit,
                wire_codec=self._settings.wire_codec,
            )
        )

    def _origin(self, event: Any) -> Origin:
        calling = str(event.assoc.requestor.ae_title).strip()
        urgent = calling in self._settings.stat_ae_titles or event.request.Priority == HIGH
        lane: Lane = "stat" if urgent else "bulk"
        return Origin.now(f"/dicom/{calling}", lane, self._settings)

    def _refused(self, event: Any, data: bytes, status: int, text: str) -> int:
        log.warning(
            "refused 0x%04X %s: %s (SOP class %s, %d bytes, sha256 %s)",
            status,
            REASONS.get(status, "refused"),
            text,
            event.context.abstract_syntax,
            len(data),
            hashlib.sha256(data).hexdigest()[:12],
        )
        return status
