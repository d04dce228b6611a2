"""The C-STORE SCP (PS3.4 annex B): success is answered only for what is durable and confirmed."""

from __future__ import annotations

import logging
import time
from typing import Any, Final

from pynetdicom import AE, AllStoragePresentationContexts, evt
from pynetdicom.sop_class import Verification

from engine import wire
from engine.config import Settings
from engine.ingest.frames import Origin
from engine.ingest.intake import Intake, Offer
from engine.ingest.syntaxes import SYNTAXES
from engine.ingest.transport import PDU_BYTES, BoundedHandler
from engine.messages import Lane
from engine.quiet import silence_dicom_libraries

log = logging.getLogger(__name__)

HIGH: Final = 1  # Priority of a C-STORE request (PS3.7 9.3.1.1)

ACSE_TIMEOUT_S = 10
NETWORK_TIMEOUT_S = 60


class Gateway:
    """Speaks DICOM with scanners; what they offer goes through the intake."""

    def __init__(self, settings: Settings, intake: Intake) -> None:
        self._settings, self._intake = settings, intake
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
        self._intake.wait_idle()
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
        request = event.request
        offer = Offer(
            data=event.encoded_dataset(include_meta=False),
            transfer_syntax_uid=str(event.context.transfer_syntax),
            origin=self._origin(event),
            sop_class_uid=str(request.AffectedSOPClassUID),
            sop_instance_uid=str(request.AffectedSOPInstanceUID),
        )
        return self._intake.accept(offer).status

    def _origin(self, event: Any) -> Origin:
        calling = str(event.assoc.requestor.ae_title).strip()
        urgent = calling in self._settings.stat_ae_titles or event.request.Priority == HIGH
        lane: Lane = "stat" if urgent else "bulk"
        return Origin.now(f"/dicom/{calling}", lane, self._settings)
