"""The C-STORE SCP (PS3.4 annex B): success is answered only for what is durable and confirmed."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from typing import Final

from engine import wire
from engine.config import Settings
from engine.ingest.frames import Origin
from engine.ingest.intake import MISMATCH, SUCCESS, Intake, Offer
from engine.ingest.sop_classes import STORAGE, VERIFICATION
from engine.ingest.syntaxes import SYNTAXES
from engine.ingest.upper import dimse
from engine.ingest.upper.association import Association
from engine.ingest.upper.dimse import lies
from engine.ingest.upper.inflight import InFlight
from engine.ingest.upper.link import Pace
from engine.ingest.upper.listener import Listener, Place, Places
from engine.ingest.upper.pdu import PDU_BYTES, Rejection
from engine.ingest.upper.serving import Exchange, Reply, Requestor, Service, Serving
from engine.messages import Lane

__all__ = ["ACSE_TIMEOUT_S", "HIGH", "PDU_BYTES", "Gateway"]

HIGH: Final = 1  # Priority of a C-STORE request (PS3.7 9.3.1.1)

ACSE_TIMEOUT_S = 10
UNCOMPRESSED: Final = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1")


class Gateway:
    """Speaks DICOM with scanners; what they offer goes through the intake.

    `admit` returns why a peer is not let in, or None; `left` is told when one that was let in is
    gone. `services` are further ones by command field, `abstract_syntaxes` what they negotiate.
    `share`: of how many processes this is one; each has its part of the bytes in flight.
    """

    def __init__(
        self,
        settings: Settings,
        intake: Intake,
        *,
        tls: ssl.SSLContext | None = None,
        admit: Callable[[Requestor], Rejection | None] = lambda _: None,
        left: Callable[[Requestor], None] = lambda _: None,
        services: Mapping[int, Service] | None = None,
        abstract_syntaxes: tuple[str, ...] = (),
        share: int = 1,
    ) -> None:
        self._settings, self._intake = settings, intake
        self.inflight = InFlight(max(1, settings.gateway_inflight_bytes // share))
        self._serving = Serving(
            supported={
                **dict.fromkeys(STORAGE, tuple(SYNTAXES)),
                **dict.fromkeys((VERIFICATION, *abstract_syntaxes), UNCOMPRESSED),
            },
            services={
                dimse.C_STORE: self._on_store,
                dimse.C_ECHO: self._on_echo,
                **(services or {}),
            },
            inflight=self.inflight,
            max_object_bytes=settings.max_object_bytes,
            pace=Pace(settings.gateway_silence_s, settings.gateway_least_rate),
            acse_timeout_s=ACSE_TIMEOUT_S,
            tls=tls,
            admit=admit,
            left=left,
        )
        self._places = Places(settings.max_associations, settings.max_associations_of_address)
        self._listener: Listener | None = None
        self._open: set[Association] = set()
        self._changed = threading.Condition()

    def start(self) -> None:
        """Listen; raise `OSError` when the port is taken."""
        self.warm()
        self._listener = Listener(
            self._settings.host, self._settings.port, self._places, self._take
        )
        self._listener.start()

    def warm(self) -> None:
        """Load what the first object needs: loaded beside it, it slowed the first frames down."""
        if self._settings.wire_codec == "auto":
            wire.warm()

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return self._settings.port if self._listener is None else self._listener.port

    @property
    def associations(self) -> int:
        """How many associations are open."""
        return len(self._open)

    def serve(self, connection: socket.socket, place: Place, done: Callable[[], None]) -> None:
        """Serve a connection in a thread of its own; `done` is called when it has ended.

        Raise `RuntimeError` where there can be no thread; the connection is then as it was.
        """
        association = Association(connection, self._serving, turn_away=place is Place.TURNED_AWAY)

        def run() -> None:
            try:
                association.run()
            finally:
                self._forget(association)
                done()

        with self._changed:
            self._open.add(association)
        try:
            threading.Thread(target=run, name="association", daemon=True).start()
        except RuntimeError:
            self._forget(association)
            raise

    def drain(self, grace_s: float = 3.0) -> None:
        """Stop listening, let associations end for `grace_s`, finish what is in flight, close."""
        if self._listener is not None:
            self._listener.stop()
        self._wait_closed(grace_s)
        self.inflight.close()
        with self._changed:
            still = list(self._open)
        for association in still:
            association.end()
        self._intake.wait_idle()
        self._wait_closed(grace_s)

    def _wait_closed(self, limit_s: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: not self._open, limit_s)

    def _forget(self, association: Association) -> None:
        with self._changed:
            self._open.discard(association)
            self._changed.notify_all()

    def _take(self, connection: socket.socket, address: str, place: Place) -> None:
        self.serve(connection, place, lambda: self._places.leave(address, place))

    def _on_echo(self, exchange: Exchange) -> Reply:
        if exchange.command.has_data:
            raise lies("a C-ECHO has a data set")
        return Reply(SUCCESS)

    def _on_store(self, exchange: Exchange) -> Reply:
        """Answer one C-STORE request with a status of PS3.4 table B.2-1."""
        command, context = exchange.command, exchange.context
        if command.sop_class_uid != context.abstract_syntax:
            return Reply(MISMATCH, "SOP class is not the presentation context's")
        offer = Offer(
            data=exchange.data,
            transfer_syntax_uid=context.transfer_syntax,
            origin=self._origin(exchange),
            sop_class_uid=command.sop_class_uid,
            sop_instance_uid=command.sop_instance_uid,
        )
        answer = self._intake.accept(offer)
        return Reply(answer.status, answer.text)

    def _origin(self, exchange: Exchange) -> Origin:
        calling = exchange.requestor.calling
        urgent = calling in self._settings.stat_ae_titles or exchange.command.priority == HIGH
        lane: Lane = "stat" if urgent else "bulk"
        return Origin.now(f"/dicom/{calling}", lane, self._settings)
